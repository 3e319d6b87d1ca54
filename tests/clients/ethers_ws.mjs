// ethers v6 over a WebSocket: URL. Says "ready" once subscribed; what it was told up to height 12, as JSON, at the end.
import { WebSocketProvider } from 'ethers'

const provider = new WebSocketProvider(process.argv[2])
const told = { heads: [], logs: [], removed: [], pending: [] }
const hashes = new Map()
await provider.on('pending', (hash) => told.pending.push(hash))
await provider.on({ address: '0x0000000000000000000000000000000000005eed' }, (log) => (log.removed ? told.removed : told.logs).push(log.blockHash))
await provider.on('block', (number) => {
  told.heads.push(number)
  if (number === 12) {
    setTimeout(async () => {
      told.chainId = Number((await provider.getNetwork()).chainId)
      await provider.destroy()
      console.log(JSON.stringify(told))
      process.exit(0)
    }, 500)
  }
})
await provider.send('eth_blockNumber', []) // the subscriptions before it are made
console.log('ready')
