// ethers v6 against a node: URL, two funded private keys. Every test builds on what the chain is by then.
import assert from 'node:assert/strict'
import { after, test as declare } from 'node:test'
import { Contract, HDNodeWallet, JsonRpcProvider, NonceManager, Transaction, Wallet, ZeroAddress, parseEther } from 'ethers'

const [url, ownerKey, spenderKey] = process.argv.slice(2)
const TOKEN = '0x0000000000000000000000000000000000005eed'
const ABI = [
  'function name() view returns (string)',
  'function symbol() view returns (string)',
  'function decimals() view returns (uint8)',
  'function totalSupply() view returns (uint256)',
  'function balanceOf(address) view returns (uint256)',
  'function allowance(address, address) view returns (uint256)',
  'function transfer(address, uint256) returns (bool)',
  'function approve(address, uint256) returns (bool)',
  'function transferFrom(address, address, uint256) returns (bool)',
  'function mint(address, uint256)',
  'event Transfer(address indexed from, address indexed to, uint256 value)',
  'event Approval(address indexed owner, address indexed spender, uint256 value)',
]
// A node takes batches of 50, where ethers makes them of 100. Answers are not kept: tests send again within the quarter of a second for which ethers would keep a nonce.
const provider = new JsonRpcProvider(url, undefined, { pollingInterval: 50, cacheTimeout: -1, batchMaxCount: 50 })
const owner = new Wallet(ownerKey, provider)
const spender = new Wallet(spenderKey, provider)
const token = new Contract(TOKEN, ABI, owner)
const fresh = () => Wallet.createRandom().connect(provider)
const code = (wanted) => (error) => {
  assert.equal(error.code, wanted, `${error.code}: ${error.message}`)
  return true
}
const rejected = (message) => (error) => {
  assert.match(JSON.stringify(error.info ?? error.error ?? error.message), message)
  return true
}

const test = (name, body) => declare(name, { timeout: 20_000 }, body)

after(() => provider.destroy())

test('connects', async () => {
  const network = await provider.getNetwork()
  assert.equal(network.chainId, 847731n)
  assert.ok((await provider.getBlockNumber()) >= 1)
  assert.equal(await provider.getCode(TOKEN), '0xfe')
  assert.equal(await provider.getCode(owner.address), '0x')
  const fees = await provider.getFeeData()
  assert.ok(fees.gasPrice > 0n) // ethers takes a base fee of zero for none, and prices by gasPrice alone
})

test('reads the token', async () => {
  assert.deepEqual(
    await Promise.all([token.name(), token.symbol(), token.decimals()]),
    ['Quarry', 'QRY', 18n],
  )
  assert.ok((await token.totalSupply()) >= parseEther('100000'))
  assert.equal(await token.balanceOf(owner.address), await provider.getBalance(owner.address))
  assert.equal(await token.allowance(owner.address, fresh().address), 0n)
})

test('answers a batch, each request by itself', async () => {
  const batch = [
    { jsonrpc: '2.0', id: 0, method: 'eth_chainId', params: [] },
    { jsonrpc: '2.0', id: 'b', method: 'eth_unheardOf', params: [] },
    7,
    { jsonrpc: '2.0', method: 'eth_chainId' },
  ]
  const response = await fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(batch) })
  assert.equal(response.status, 200)
  const [first, second, third, ...rest] = await response.json()
  assert.deepEqual(first, { jsonrpc: '2.0', id: 0, result: '0xcef73' })
  assert.equal(second.error.message, 'the method eth_unheardOf does not exist/is not available')
  assert.equal(third.error.code, -32600)
  assert.deepEqual(rest, [])
  const [a, b] = await Promise.all([provider.getBalance(owner.address), provider.getBlockNumber()])
  assert.ok(a > 0n && b >= 1)
})

for (const type of [0, 2]) {
  test(`sends coin in a transaction of type ${type}`, async () => {
    const to = fresh().address
    assert.equal(await owner.estimateGas({ to, value: 5n }), 21000n)
    const sent = await owner.sendTransaction({ to, value: parseEther('1.5'), type })
    assert.equal(sent.type, type)
    const pending = await provider.getTransaction(sent.hash)
    assert.equal(pending.from, owner.address)
    const receipt = await sent.wait()
    assert.deepEqual(
      [receipt.status, receipt.type, receipt.gasUsed, receipt.from, receipt.to, receipt.logs.length, receipt.contractAddress],
      [1, type, 21000n, owner.address, to, 1, null],
    )
    assert.equal(await provider.getBalance(to), parseEther('1.5'))
    assert.equal(await provider.getBalance(to, receipt.blockNumber - 1), 0n)
    const mined = await provider.getTransaction(sent.hash)
    assert.equal(mined.blockHash, receipt.blockHash)
    const block = await provider.getBlock(receipt.blockHash, true)
    assert.ok(block.prefetchedTransactions.some((item) => item.hash === sent.hash))
    assert.equal((await block.getTransaction(0)).from, ZeroAddress)
  })
}

test('sends an EIP-2930 transaction with an empty access list', async () => {
  const sent = await owner.sendTransaction({ to: fresh().address, value: 1n, type: 1, accessList: [] })
  assert.equal((await sent.wait()).type, 1)
})

test('transfers tokens and sees the event', async () => {
  const to = fresh().address
  assert.equal(await token.transfer.estimateGas(to, 7n), 60000n)
  assert.equal(await token.transfer.staticCall(to, 7n), true)
  const receipt = await (await token.transfer(to, 7n)).wait()
  assert.equal(receipt.gasUsed, 60000n)
  assert.equal(receipt.logs.length, 1)
  assert.deepEqual([...receipt.logs[0].args], [owner.address, to, 7n])
  assert.equal(receipt.logs[0].fragment.name, 'Transfer')
  const found = await token.queryFilter(token.filters.Transfer(null, to), 1, 'latest')
  assert.deepEqual(found.map((item) => item.transactionHash), [receipt.hash])
  const inBlock = await provider.getLogs({ blockHash: receipt.blockHash, address: TOKEN })
  assert.ok(inBlock.some((item) => item.transactionHash === receipt.hash && item.index === receipt.logs[0].index))
})

test('begins at block 0, the chain spec', async () => {
  const block = await provider.getBlock('earliest', true)
  assert.deepEqual([block.number, block.parentHash], [0, '0x' + '00'.repeat(32)])
  assert.equal(block.hash, (await provider.getBlock(1)).parentHash)
  assert.equal((await provider.getBlock(block.hash)).number, 0)
  const [sent] = block.prefetchedTransactions
  assert.deepEqual([sent.from, sent.to.toLowerCase(), sent.value, sent.hash], [ZeroAddress, TOKEN, 0n, block.transactions[0]])
  assert.equal((await provider.getTransaction(sent.hash)).blockNumber, 0)
  const receipt = await provider.getTransactionReceipt(sent.hash)
  assert.deepEqual([receipt.blockHash, receipt.status, receipt.logs.length], [block.hash, 1, 10])
  for (const log of receipt.logs) {
    const { args } = token.interface.parseLog(log)
    assert.deepEqual([args.from, args.value], [ZeroAddress, parseEther('10000')])
    assert.equal(await provider.getBalance(args.to, 0), parseEther('10000'))
    assert.equal(await token.balanceOf(args.to, { blockTag: 'earliest' }), parseEther('10000'))
  }
})

test('finds every balance in the events alone', async () => {
  await (await token.transfer(fresh().address, 3n)).wait()
  const tip = await provider.getBlockNumber()
  const balances = new Map()
  const add = (address, value) => balances.set(address, (balances.get(address) ?? 0n) + value)
  for (const { args } of await token.queryFilter(token.filters.Transfer(), 0, tip)) {
    add(args.from, -args.value)
    add(args.to, args.value)
  }
  assert.equal(-balances.get(ZeroAddress), await token.totalSupply({ blockTag: tip }))
  balances.delete(ZeroAddress)
  assert.ok(balances.size > 10)
  for (const [address, value] of balances) assert.equal(value, await provider.getBalance(address, tip), address)
})

test('approves and spends by transferFrom', async () => {
  const to = fresh().address
  const approval = await (await token.approve(spender.address, 100n)).wait()
  assert.deepEqual([...approval.logs[0].args], [owner.address, spender.address, 100n])
  assert.equal(approval.gasUsed, 50000n)
  assert.equal(await token.allowance(owner.address, spender.address), 100n)
  const spent = await (await token.connect(spender).transferFrom(owner.address, to, 60n)).wait()
  assert.equal(spent.gasUsed, 70000n)
  assert.deepEqual([...spent.logs[0].args], [owner.address, to, 60n])
  assert.equal(await token.allowance(owner.address, spender.address), 40n)
  await assert.rejects(token.connect(spender).transferFrom(owner.address, to, 41n), (error) => {
    assert.equal(error.code, 'CALL_EXCEPTION')
    assert.equal(error.reason, 'ERC20: insufficient allowance')
    return true
  })
  await assert.rejects(
    token.connect(spender).transferFrom(owner.address, to, 41n, { gasLimit: 70000n }),
    rejected(/insufficient allowance/),
  )
})

test('listens to events', async () => {
  const to = fresh().address
  const heard = new Promise((resolve) => token.once(token.filters.Transfer(null, to), (payload) => resolve(payload.args)))
  await new Promise((resolve) => setTimeout(resolve, 150))
  await (await token.transfer(to, 3n)).wait()
  const [from, target, value] = await heard
  assert.deepEqual([from, target, value], [owner.address, to, 3n])
})

test('explains failing calls', async () => {
  const poor = fresh()
  await assert.rejects(token.connect(poor).transfer(owner.address, 1n), (error) => {
    assert.equal(error.code, 'CALL_EXCEPTION')
    assert.equal(error.reason, 'ERC20: transfer amount exceeds balance')
    return true
  })
  await assert.rejects(token.mint(owner.address, 1n), code('CALL_EXCEPTION'))
  await assert.rejects(owner.sendTransaction({ data: '0x6001600101', gasLimit: 100000n }), rejected(/contracts? to create/))
})

test('maps refusals to its own errors', async () => {
  const poor = fresh()
  await assert.rejects(poor.sendTransaction({ to: owner.address, value: 1n, gasLimit: 21000n }), code('INSUFFICIENT_FUNDS'))
  await assert.rejects(owner.sendTransaction({ to: poor.address, value: 1n, nonce: 0 }), code('NONCE_EXPIRED'))
  await assert.rejects(owner.sendTransaction({ to: poor.address, value: 1n, gasLimit: 20999n }), rejected(/intrinsic gas too low/))
  const base = { to: poor.address, value: 1n, gasLimit: 21000n, type: 0, gasPrice: 10n ** 9n }
  const nonce = await owner.getNonce('pending')
  for (const [fields, message] of [
    [{ chainId: 1n }, /invalid chain id for signer/],
    [{ chainId: 0n }, /replay-protected/],
  ]) {
    const unsigned = Transaction.from({ ...base, nonce, ...fields })
    unsigned.signature = owner.signingKey.sign(unsigned.unsignedHash)
    await assert.rejects(provider.broadcastTransaction(unsigned.serialized), rejected(message))
  }
  await assert.rejects(provider.send('eth_sendRawTransaction', ['0x02c0']), rejected(/-32000/))
})

test('replaces a waiting transaction by a better-paid one', async () => {
  // A gap keeps them waiting.
  const nonce = (await owner.getNonce('pending')) + 1
  const base = { to: fresh().address, value: 1n, type: 2, gasLimit: 21000n, nonce }
  const priced = (price) => ({ ...base, maxFeePerGas: price, maxPriorityFeePerGas: price })
  const first = await owner.sendTransaction(priced(1000n))
  await assert.rejects(owner.sendTransaction(priced(1099n)), code('REPLACEMENT_UNDERPRICED'))
  await assert.rejects(provider.broadcastTransaction(Transaction.from(first).serialized), rejected(/already known/))
  const second = await owner.sendTransaction(priced(1100n))
  assert.equal(await provider.getTransaction(first.hash), null)
  await owner.sendTransaction({ to: base.to, value: 1n })
  assert.equal((await second.wait()).status, 1)
})

test('sends many at once', async () => {
  const manager = new NonceManager(spender)
  const sent = []
  for (let i = 0; i < 20; i++) sent.push(manager.sendTransaction({ to: owner.address, value: 1n }))
  const receipts = await Promise.all((await Promise.all(sent)).map((item) => item.wait()))
  assert.deepEqual(new Set(receipts.map((item) => item.status)), new Set([1]))
})

test('derives the accounts that wallets derive', () => {
  const phrase = 'test test test test test test test test test test test junk'
  assert.equal(HDNodeWallet.fromPhrase(phrase).address, '0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266')
})

test('signs and sends with the accounts of the node', async () => {
  const signer = await provider.getSigner(owner.address)
  assert.equal((await provider.getSigner(0)).address, '0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266')
  const to = fresh().address
  const sent = await signer.sendTransaction({ to, value: 5n })
  assert.equal((await sent.wait()).status, 1)
  const called = await token.connect(signer).transfer(to, 7n)
  assert.equal((await called.wait()).logs.length, 1)
  assert.equal(await provider.getBalance(to), 12n)
  await assert.rejects(provider.getSigner(to), /invalid account/)
  await assert.rejects(signer.sendTransaction({ data: '0x6001', gasLimit: 100000n }), rejected(/contracts? to create/))

  assert.equal(await signer.signMessage('quarry'), await owner.signMessage('quarry'))
  assert.equal(await signer._legacySignMessage('quarry'), await owner.signMessage('quarry'))
  const domain = { name: 'Quarry', version: '1', chainId: 847731, verifyingContract: TOKEN }
  const types = {
    Person: [{ name: 'name', type: 'string' }, { name: 'wallets', type: 'address[]' }],
    Mail: [{ name: 'from', type: 'Person' }, { name: 'to', type: 'Person[]' }, { name: 'amount', type: 'uint256' }],
  }
  const person = { name: 'Ann', wallets: [owner.address, to] }
  const value = { from: person, to: [person, { name: '', wallets: [] }], amount: 2n ** 255n }
  assert.equal(await signer.signTypedData(domain, types, value), await owner.signTypedData(domain, types, value))

  const fields = { to, value: 1n, gasLimit: 21000n, type: 2, maxFeePerGas: 9n, maxPriorityFeePerGas: 9n, chainId: 847731n }
  const nonce = await owner.getNonce('pending')
  assert.equal(await signer.signTransaction({ ...fields, nonce }), await owner.signTransaction({ ...fields, nonce }))
})

test('sends many at once with an account of the node, whose nonces the node chooses', async () => {
  const signer = await provider.getSigner(spender.address)
  const hashes = await Promise.all(
    Array.from({ length: 20 }, (_, i) => signer.sendUncheckedTransaction({ to: owner.address, value: 1n, gasPrice: 10n ** 9n * BigInt(i + 1) })),
  )
  assert.equal(new Set(hashes).size, 20)
  // ethers would wait for a block after the last, if that came between its look for the receipt and its first poll.
  for (const hash of hashes) while (!(await provider.getTransactionReceipt(hash))) await provider.getBlockNumber()
})
