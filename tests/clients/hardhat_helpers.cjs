// Every helper of hardhat-network-helpers against a node: each works, or is refused by the node's own sentence.
const assert = require('node:assert/strict')
const { network } = require('hardhat')
const helpers = require('@nomicfoundation/hardhat-network-helpers')

const ask = (method, ...params) => network.provider.request({ method, params })
const number = async () => Number(await ask('eth_blockNumber'))
const receipt = (hash) => ask('eth_getTransactionReceipt', hash)

async function main() {
  const { time } = helpers
  const [alice, bob] = await ask('eth_accounts')
  const fresh = '0x00000000000000000000000000000000000a11ce'
  const pay = () => ask('eth_sendTransaction', { from: alice, to: bob, value: '0x1', gas: '0x5208' })
  const refused = async (call, words) => assert.rejects(call, (error) => error.message.includes(words))

  const works = {
    mine: async () => {
      const before = await number()
      await helpers.mine(3)
      assert.equal(await number(), before + 3)
    },
    mineUpTo: async () => {
      const before = await number()
      await helpers.mineUpTo(before + 2)
      assert.equal(await number(), before + 2)
    },
    dropTransaction: async () => {
      await ask('evm_setAutomine', false)
      const hash = await pay()
      assert.equal(await helpers.dropTransaction(hash), true)
      await ask('evm_setAutomine', true)
      await helpers.mine()
      assert.equal(await receipt(hash), null)
    },
    setBalance: async () => {
      await helpers.setBalance(fresh, 12345n)
      assert.equal(BigInt(await ask('eth_getBalance', fresh, 'latest')), 12345n)
    },
    takeSnapshot: async () => {
      const snapshot = await helpers.takeSnapshot()
      await helpers.setBalance(fresh, 77_777n)
      await snapshot.restore()
      assert.equal(BigInt(await ask('eth_getBalance', fresh, 'latest')), 12345n)
    },
    clearSnapshots: async () => helpers.clearSnapshots(),
    loadFixture: async () => {
      async function fixture() {
        await helpers.setBalance(fresh, 42_424n)
        return 'fixture'
      }
      assert.equal(await helpers.loadFixture(fixture), 'fixture')
      await helpers.setBalance(fresh, 99_999n)
      assert.equal(await helpers.loadFixture(fixture), 'fixture')
      assert.equal(BigInt(await ask('eth_getBalance', fresh, 'latest')), 42_424n)
    },
    getStorageAt: async () => assert.equal(BigInt(await helpers.getStorageAt(fresh, 0)), 0n),
    'time.latest': async () => assert.ok((await time.latest()) > 1_700_000_000),
    'time.latestBlock': async () => assert.equal(await time.latestBlock(), await number()),
    'time.increase': async () => {
      const before = await time.latest()
      await time.increase(3600)
      assert.ok((await time.latest()) >= before + 3600)
    },
    'time.increaseTo': async () => {
      const wanted = (await time.latest()) + 7200
      await time.increaseTo(wanted)
      assert.equal(await time.latest(), wanted)
    },
    'time.setNextBlockTimestamp': async () => {
      const wanted = (await time.latest()) + 100
      await time.setNextBlockTimestamp(wanted)
      await helpers.mine()
      assert.equal(await time.latest(), wanted)
    },
    'time.advanceBlock': async () => {
      const before = await number()
      await time.advanceBlock(2)
      assert.equal(await number(), before + 2)
    },
    'time.advanceBlockTo': async () => {
      const before = await number()
      await time.advanceBlockTo(before + 2)
      assert.equal(await number(), before + 2)
    },
    reset: async () => {
      await helpers.reset()
      assert.equal(await number(), 1)
    },
  }
  const cannot = {
    impersonateAccount: [() => helpers.impersonateAccount(fresh), 'No account can be impersonated'],
    stopImpersonatingAccount: [() => helpers.stopImpersonatingAccount(fresh), 'No account can be impersonated'],
    setBlockGasLimit: [() => helpers.setBlockGasLimit(30_000_000), 'not by gas'],
    setCode: [() => helpers.setCode(fresh, '0x00'), 'There are no contracts here'],
    setCoinbase: [() => helpers.setCoinbase(fresh), 'QUARRY_REWARD_ADDRESS'],
    setNextBlockBaseFeePerGas: [() => helpers.setNextBlockBaseFeePerGas(5), 'The base fee is always 0'],
    setNonce: [() => helpers.setNonce(fresh, 5), 'A nonce cannot be set'],
    setPrevRandao: [() => helpers.setPrevRandao(5), 'no beacon chain'],
    setStorageAt: [() => helpers.setStorageAt(fresh, 0, 1), 'There are no contracts here'],
  }
  const known = Object.keys(helpers).flatMap((name) =>
    typeof helpers[name] === 'function' ? [name]
      : Object.keys(helpers[name]).filter((part) => part !== 'duration').map((part) => `${name}.${part}`))
  assert.deepEqual(known.sort(), [...Object.keys(works), ...Object.keys(cannot)].sort())
  for (const [name, check] of Object.entries(works)) {
    console.log(name)
    await check()
  }
  for (const [name, [call, words]] of Object.entries(cannot)) {
    console.log(name)
    await refused(call, words)
  }
}

main().catch((error) => { console.error(error); process.exitCode = 1 })
