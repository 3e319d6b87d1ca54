// viem's test client against a node, as it is used with anvil: mining and time. Arguments: URL, a funded private key.
import assert from 'node:assert/strict'
import { test as declare } from 'node:test'
import { createTestClient, createWalletClient, defineChain, http, publicActions } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'

const [url, key] = process.argv.slice(2)
const chain = defineChain({
  id: 847731,
  name: 'Quarry',
  nativeCurrency: { name: 'Quarry', symbol: 'QRY', decimals: 18 },
  rpcUrls: { default: { http: [url] } },
})
const transport = http(url, { retryCount: 0 })
const client = createTestClient({ chain, transport, mode: 'anvil', pollingInterval: 50, cacheTime: 0 }).extend(publicActions)
const wallet = createWalletClient({ account: privateKeyToAccount(key), chain, transport })
const latest = () => client.getBlock({ blockTag: 'latest' })
const test = (name, body) => declare(name, { timeout: 30_000 }, body)

test('mines blocks', async () => {
  const before = await client.getBlockNumber()
  await client.mine({ blocks: 1 })
  await client.mine({ blocks: 3, interval: 100 })
  assert.equal(await client.getBlockNumber(), before + 4n)
  const [first, last] = [await client.getBlock({ blockNumber: before + 2n }), await latest()]
  assert.equal(last.timestamp - first.timestamp, 200n)
})

test('moves the clock', async () => {
  await client.mine({ blocks: 1 })
  const start = (await latest()).timestamp
  await client.increaseTime({ seconds: 3600 })
  assert.ok((await client.getBlock({ blockTag: 'pending' })).timestamp >= start + 3600n)
  await client.mine({ blocks: 1 })
  const later = (await latest()).timestamp
  assert.ok(later >= start + 3600n)

  await client.setNextBlockTimestamp({ timestamp: later + 500n })
  await client.mine({ blocks: 1 })
  assert.equal((await latest()).timestamp, later + 500n)
  await assert.rejects(client.setNextBlockTimestamp({ timestamp: later }), /is lower than previous block's timestamp/)

  await client.setBlockTimestampInterval({ interval: 12 })
  await client.mine({ blocks: 2 })
  assert.equal((await latest()).timestamp, later + 524n)
  await client.removeBlockTimestampInterval()
})

test('switches auto-mining', async () => {
  assert.equal(await client.getAutomine(), true)
  await client.setAutomine(false)
  assert.equal(await client.getAutomine(), false)
  const hash = await wallet.sendTransaction({ to: wallet.account.address, value: 1n })
  await assert.rejects(client.getTransactionReceipt({ hash }), /could not be found/)
  await client.mine({ blocks: 1 })
  assert.equal((await client.getTransactionReceipt({ hash })).status, 'success')
})

test('mines at intervals', async () => {
  const before = await client.getBlockNumber()
  await client.setIntervalMining({ interval: 1 })
  while ((await client.getBlockNumber()) < before + 2n) await new Promise((resolve) => setTimeout(resolve, 50))
  await client.setIntervalMining({ interval: 0 })
  await client.setAutomine(true)
  assert.equal(await client.getAutomine(), true)
})
