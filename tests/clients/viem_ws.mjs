// viem over a WebSocket: URL. Says "ready" once subscribed; what it was told up to height 12, as JSON, at the end.
import { createPublicClient, webSocket } from 'viem'

const client = createPublicClient({ transport: webSocket(process.argv[2]) })
const told = { heads: [], logs: [], removed: [], pending: [] }
client.watchPendingTransactions({ onTransactions: (hashes) => told.pending.push(...hashes) })
client.watchEvent({ onLogs: (logs) => logs.forEach((log) => (log.removed ? told.removed : told.logs).push(log.blockHash)) })
const { unsubscribe } = await client.transport.subscribe({
  params: ['newHeads'],
  onData: ({ result }) => {
    told.heads.push(Number(result.number))
    if (Number(result.number) === 12) {
      setTimeout(async () => {
        told.chainId = await client.getChainId()
        await unsubscribe()
        console.log(JSON.stringify(told))
        process.exit(0)
      }, 500)
    }
  },
})
await client.getBlockNumber() // the subscriptions before it are made
console.log('ready')
