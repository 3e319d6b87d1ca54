// MetaMask's block tracker over a WebSocket: URL. Says each head that it tells; ends with its input.
import { PollingBlockTracker } from '@metamask/eth-block-tracker'
import { WebSocket } from 'ws'

const socket = new WebSocket(process.argv[2])
const waiting = new Map()
socket.on('message', (data) => {
  const { id, result, error } = JSON.parse(data)
  const { resolve, reject } = waiting.get(id)
  waiting.delete(id)
  error ? reject(new Error(error.message)) : resolve(result)
})
await new Promise((resolve) => socket.on('open', resolve))
let last = 0
const provider = {
  request: ({ method, params }) =>
    new Promise((resolve, reject) => {
      const id = ++last
      waiting.set(id, { resolve, reject })
      socket.send(JSON.stringify({ jsonrpc: '2.0', id, method, params: params ?? [] }))
    }),
}
const tracker = new PollingBlockTracker({ provider, pollingInterval: 20, usePastBlocks: true })
tracker.on('error', (error) => {
  console.error(error)
  process.exit(1)
})
tracker.on('latest', (number) => console.log(Number(number)))
process.stdin.resume().on('end', () => process.exit(0))
