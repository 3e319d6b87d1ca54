// viem against a node: URL, two funded private keys. Every test builds on what the chain is by then.
import assert from 'node:assert/strict'
import { test as declare } from 'node:test'
import {
  ContractFunctionRevertedError,
  InsufficientFundsError,
  IntrinsicGasTooLowError,
  NonceTooLowError,
  createPublicClient,
  createTestClient,
  createWalletClient,
  defineChain,
  erc20Abi,
  http,
  parseEther,
  zeroAddress,
} from 'viem'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'

const [url, ownerKey, spenderKey] = process.argv.slice(2)
const TOKEN = '0x0000000000000000000000000000000000005eed'
const chain = defineChain({
  id: 847731,
  name: 'Quarry',
  nativeCurrency: { name: 'Quarry', symbol: 'QRY', decimals: 18 },
  rpcUrls: { default: { http: [url] } },
})
const transport = http(url, { retryCount: 0 })
const client = createPublicClient({ chain, transport, pollingInterval: 50, cacheTime: 0 })
const owner = createWalletClient({ account: privateKeyToAccount(ownerKey), chain, transport })
const spender = createWalletClient({ account: privateKeyToAccount(spenderKey), chain, transport })
const fresh = () => privateKeyToAccount(generatePrivateKey()).address
const token = { address: TOKEN, abi: erc20Abi }
const read = (functionName, args = []) => client.readContract({ ...token, functionName, args })
const mined = (hash) => client.waitForTransactionReceipt({ hash, timeout: 20_000 })
const causes = (type) => (error) => {
  assert.ok(error.walk((item) => item instanceof type), `${type.name} is not a cause of ${error.message}`)
  return true
}

const test = (name, body) => declare(name, { timeout: 20_000 }, body)

test('connects', async () => {
  assert.equal(await client.getChainId(), 847731)
  assert.ok((await client.getBlockNumber()) >= 1n)
  assert.equal(await client.getCode({ address: TOKEN }), '0xfe')
  const fees = await client.estimateFeesPerGas()
  assert.ok(fees.maxFeePerGas >= fees.maxPriorityFeePerGas && fees.maxPriorityFeePerGas > 0n)
  const history = await client.getFeeHistory({ blockCount: 4, rewardPercentiles: [20, 50.5] })
  assert.equal(history.baseFeePerGas.length, history.gasUsedRatio.length + 1)
  assert.deepEqual(history.reward.map((item) => item.length), history.gasUsedRatio.map(() => 2))
})

test('reads the token', async () => {
  assert.equal(await read('name'), 'Quarry')
  assert.equal(await read('symbol'), 'QRY')
  assert.equal(await read('decimals'), 18)
  assert.ok((await read('totalSupply')) >= parseEther('100000'))
  const address = owner.account.address
  assert.equal(await read('balanceOf', [address]), await client.getBalance({ address }))
})

for (const type of ['legacy', 'eip1559']) {
  test(`sends coin, ${type}`, async () => {
    const to = fresh()
    const hash = await owner.sendTransaction({ to, value: parseEther('0.5'), type })
    const receipt = await mined(hash)
    assert.deepEqual([receipt.status, receipt.type, receipt.gasUsed], ['success', type, 21000n])
    assert.equal(await client.getBalance({ address: to }), parseEther('0.5'))
    assert.equal(await client.getBalance({ address: to, blockNumber: receipt.blockNumber - 1n }), 0n)
    const block = await client.getBlock({ blockHash: receipt.blockHash, includeTransactions: true })
    assert.ok(block.transactions.some((item) => item.hash === hash))
    assert.equal(block.transactions[0].from, zeroAddress)
    assert.equal((await client.getTransaction({ hash })).blockHash, receipt.blockHash)
    assert.equal(await client.getTransactionConfirmations({ hash }) >= 1n, true)
  })
}

test('begins at block 0, the chain spec', async () => {
  const block = await client.getBlock({ blockTag: 'earliest', includeTransactions: true })
  assert.deepEqual([block.number, block.parentHash], [0n, '0x' + '00'.repeat(32)])
  assert.deepEqual(await client.getBlock({ blockNumber: 0n, includeTransactions: true }), block)
  assert.equal((await client.getBlock({ blockNumber: 1n })).parentHash, block.hash)
  const [{ hash, from, typeHex }] = block.transactions
  assert.deepEqual([from, typeHex], [zeroAddress, '0x0'])
  const receipt = await client.getTransactionReceipt({ hash })
  assert.deepEqual([receipt.status, receipt.blockNumber, receipt.logs.length], ['success', 0n, 10])
  const events = await client.getContractEvents({ ...token, eventName: 'Transfer', fromBlock: 'earliest', toBlock: 0n })
  assert.equal(events.length, 10)
  for (const { args } of events) {
    assert.equal(args.from, zeroAddress)
    assert.equal(await client.getBalance({ address: args.to, blockTag: 'earliest' }), args.value)
  }
  assert.equal(await client.getTransactionCount({ address: owner.account.address, blockNumber: 0n }), 0)
})

test('sees who paid the fees in the receipt of the reward', async () => {
  const receipt = await mined(await owner.sendTransaction({ to: fresh(), value: 1n }))
  const block = await client.getBlock({ blockHash: receipt.blockHash })
  const events = await client.getContractEvents({
    ...token, eventName: 'Transfer', args: { from: owner.account.address, to: zeroAddress }, blockHash: block.hash,
  })
  assert.deepEqual(events.map((item) => item.args.value), [receipt.gasUsed * receipt.effectiveGasPrice])
  assert.equal(events[0].transactionHash, block.transactions[0])
})

test('shows the pending block', async () => {
  const block = await client.getBlock({ blockTag: 'pending' })
  assert.equal(block.hash, null)
})

test('simulates, transfers and finds the event', async () => {
  const to = fresh()
  const { request, result } = await client.simulateContract({
    ...token, account: owner.account, functionName: 'transfer', args: [to, 9n],
  })
  assert.equal(result, true)
  const receipt = await mined(await owner.writeContract(request))
  const events = await client.getContractEvents({ ...token, eventName: 'Transfer', args: { to }, fromBlock: 1n })
  assert.deepEqual(events.map((item) => [item.transactionHash, item.args.value]), [[receipt.transactionHash, 9n]])
  const mints = await client.getContractEvents({
    ...token, eventName: 'Transfer', args: { from: zeroAddress }, fromBlock: receipt.blockNumber, toBlock: receipt.blockNumber,
  })
  assert.equal(mints.length, 1)
})

test('watches events through a filter', async () => {
  const to = fresh()
  const filter = await client.createContractEventFilter({ ...token, eventName: 'Transfer', args: { to } })
  assert.deepEqual(await client.getFilterChanges({ filter }), [])
  await mined(await owner.writeContract({ ...token, functionName: 'transfer', args: [to, 2n] }))
  const changes = await client.getFilterChanges({ filter })
  assert.deepEqual(changes.map((item) => item.args.value), [2n])
  assert.deepEqual(await client.getFilterChanges({ filter }), [])
  assert.equal(await client.uninstallFilter({ filter }), true)
  await assert.rejects(client.getFilterChanges({ filter }), /filter not found/)
})

test('approves and spends by transferFrom', async () => {
  const [from, by, to] = [owner.account.address, spender.account.address, fresh()]
  await mined(await owner.writeContract({ ...token, functionName: 'approve', args: [by, 50n] }))
  assert.equal(await read('allowance', [from, by]), 50n)
  await mined(await spender.writeContract({ ...token, functionName: 'transferFrom', args: [from, to, 20n] }))
  assert.equal(await read('balanceOf', [to]), 20n)
  assert.equal(await read('allowance', [from, by]), 30n)
  await assert.rejects(
    client.simulateContract({ ...token, account: spender.account, functionName: 'transferFrom', args: [from, to, 31n] }),
    (error) => {
      const revert = error.walk((item) => item instanceof ContractFunctionRevertedError)
      assert.equal(revert.reason, 'ERC20: insufficient allowance')
      return true
    },
  )
})

test('maps refusals to its own errors', async () => {
  const poor = createWalletClient({ account: privateKeyToAccount(generatePrivateKey()), chain, transport })
  const to = owner.account.address
  await assert.rejects(poor.sendTransaction({ to, value: 1n, gas: 21000n }), causes(InsufficientFundsError))
  await assert.rejects(owner.sendTransaction({ to, value: 1n, nonce: 0, gas: 21000n }), causes(NonceTooLowError))
  await assert.rejects(owner.sendTransaction({ to, value: 1n, gas: 20999n }), causes(IntrinsicGasTooLowError))
  await assert.rejects(client.estimateGas({ account: poor.account, to, value: 1n }), causes(InsufficientFundsError))
})

test('falls back where a method is missing', async () => {
  await assert.rejects(client.request({ method: 'wallet_unheardOf' }), /does not exist\/is not available/)
  const request = await client.prepareTransactionRequest({ account: owner.account, to: fresh(), value: 1n })
  assert.equal(request.gas, 21000n)
})

test('sees what waits', async () => {
  const pool = createTestClient({ chain, mode: 'anvil', transport })
  const from = owner.account.address
  const nonce = await client.getTransactionCount({ address: from })
  // After a gap, so it stays until the gap is closed.
  const hash = await owner.sendTransaction({ to: fresh(), value: 1n, nonce: nonce + 2, gas: 21000n })
  const { queued } = await pool.getTxpoolContent()
  assert.equal(queued[from][nonce + 2].hash, hash)
  assert.ok((await pool.getTxpoolStatus()).queued >= 1)
  assert.match((await pool.inspectTxpool()).queued[from][nonce + 2], /: 1 wei \+ 21000 gas . \d+ wei$/)
  for (const missing of [nonce, nonce + 1]) await owner.sendTransaction({ to: from, value: 0n, nonce: missing, gas: 21000n })
  await mined(hash)
  assert.equal((await pool.getTxpoolContent()).queued[from], undefined)
})

test('reads state at the hash of a block', async () => {
  const to = fresh()
  const receipt = await mined(await owner.sendTransaction({ to, value: 5n }))
  const at = (tag) => client.request({ method: 'eth_getBalance', params: [to, tag] })
  const block = await client.getBlock({ blockHash: receipt.blockHash })
  assert.equal(await at(receipt.blockHash), '0x5')
  assert.equal(await at({ blockHash: block.parentHash }), '0x0')
})

test('is told why no contract can be deployed', async () => {
  const deploying = client.estimateGas({ account: owner.account, data: '0x6001' })
  await assert.rejects(deploying, /contract creation is not supported: this chain has one built-in token/)
})

test('verifies a message that an account signed', async () => {
  const signature = await owner.signMessage({ message: 'quarry' })
  const address = owner.account.address
  assert.equal(await client.verifyMessage({ address, message: 'quarry', signature }), true)
  assert.equal(await client.verifyMessage({ address, message: 'other', signature }), false)
})

test('batches', async () => {
  const batching = createPublicClient({ chain, transport: http(url, { batch: true, retryCount: 0 }) })
  const [id, number, balance] = await Promise.all([
    batching.getChainId(), batching.getBlockNumber(), batching.getBalance({ address: TOKEN }),
  ])
  assert.deepEqual([id, number >= 1n, balance], [847731, true, 0n])
})

test('signs and sends with the accounts of the node', async () => {
  const address = owner.account.address
  const node = createWalletClient({ account: address, chain, transport })
  assert.ok((await node.getAddresses()).includes(address))
  assert.deepEqual(await node.requestAddresses(), await node.getAddresses())
  const to = fresh()
  assert.equal((await mined(await node.sendTransaction({ to, value: 5n }))).status, 'success')
  assert.equal((await mined(await node.writeContract({ ...token, functionName: 'transfer', args: [to, 7n] }))).status, 'success')
  assert.equal(await client.getBalance({ address: to }), 12n)

  assert.equal(await node.signMessage({ message: 'quarry' }), await owner.signMessage({ message: 'quarry' }))
  const typed = {
    domain: { name: 'Quarry', chainId: 847731n },
    types: { Mail: [{ name: 'to', type: 'address' }, { name: 'words', type: 'string[]' }, { name: 'at', type: 'int64' }] },
    primaryType: 'Mail',
    message: { to, words: ['a', 'b'], at: -1n },
  }
  assert.equal(await node.signTypedData(typed), await owner.signTypedData(typed))
  const stranger = createWalletClient({ account: to, chain, transport })
  await assert.rejects(stranger.sendTransaction({ to: address, value: 1n }), /unknown account/)
})

test('has a transaction filled in, and sends it and waits', async () => {
  const filled = await client.fillTransaction({ account: owner.account.address, to: fresh(), value: 3n })
  assert.equal(filled.transaction.gas, 21000n)
  assert.ok(filled.transaction.maxFeePerGas > 0n)
  const request = await owner.prepareTransactionRequest({ to: fresh(), value: 3n })
  const serializedTransaction = await owner.signTransaction(request)
  const receipt = await owner.sendRawTransactionSync({ serializedTransaction, timeout: 15_000 })
  assert.equal(receipt.status, 'success')
})

test('sets balances and drops transactions', async () => {
  for (const mode of ['anvil', 'hardhat', 'ganache']) {
    const tester = createTestClient({ chain, mode, transport })
    const address = fresh()
    await tester.setBalance({ address, value: parseEther('1.5') })
    assert.equal(await client.getBalance({ address }), parseEther('1.5'))
    if (mode === 'ganache') continue
    const nonce = (await client.getTransactionCount({ address: owner.account.address, blockTag: 'pending' })) + 1
    const hash = await owner.sendTransaction({ to: address, value: 1n, nonce, gas: 21000n })
    await tester.dropTransaction({ hash })
    await assert.rejects(client.getTransaction({ hash }), /could not be found/)
    await assert.rejects(tester.setCode({ address, bytecode: '0x6001' }), /There are no contracts here/)
    await assert.rejects(tester.impersonateAccount({ address }), /No account can be impersonated/)
  }
})
