"""Every method of the test tools works here, or is refused with a sentence."""

import re

import pytest

from api.rpc import protocol
from api.rpc.development.refused import REFUSED
from api.rpc.method_table import METHODS

assert protocol, "its import fills the table of methods"

# anvil: the names and aliases in its enumeration of requests (foundry, crates/anvil/core/src/eth/mod.rs, August 2026)
# that change the node, sign, or are anvil's own; without tenderly's aliases, and without those that only read.
ANVIL = """
anvil_addBalance anvil_autoImpersonateAccount anvil_classifyTransaction anvil_dealERC20 anvil_dealTIP20
anvil_dropAllTransactions anvil_dropTransaction anvil_dumpState anvil_getAutomine anvil_getBlobByHash
anvil_getBlobsByTransactionHash anvil_getGenesisTime anvil_getIntervalMining anvil_getLastBlockWallTime
anvil_impersonateAccount anvil_impersonateSignature anvil_increaseTime anvil_loadState anvil_metadata anvil_mine
anvil_mine_detailed anvil_nodeInfo anvil_removeBlockTimestampInterval anvil_removePoolTransactions anvil_reorg
anvil_reset anvil_revert anvil_rollback anvil_setAutomine anvil_setBalance anvil_setBlockGasLimit
anvil_setBlockTimestampInterval anvil_setChainId anvil_setCode anvil_setCoinbase anvil_setERC20Allowance
anvil_setERC20Balance anvil_setFeeAmmLiquidity anvil_setFeeToken anvil_setIntervalMining anvil_setLoggingEnabled
anvil_setMinGasPrice anvil_setNextBlockBaseFeePerGas anvil_setNextBlockPrevRandao anvil_setNextBlockTimestamp
anvil_setNonce anvil_setRpcUrl anvil_setStorageAt anvil_setTime anvil_setValidatorFeeToken anvil_snapshot
anvil_stopImpersonatingAccount eth_accounts eth_fillTransaction eth_requestAccounts eth_resend
eth_sendRawTransaction eth_sendRawTransactionSync eth_sendTransaction eth_sendTransactionSync
eth_sendUnsignedTransaction eth_sign eth_signRawTransaction eth_signTransaction eth_signTypedData
eth_signTypedData_v3 eth_signTypedData_v4 evm_increaseTime evm_mine evm_mine_detailed evm_revert
evm_setAccountNonce evm_setAutomine evm_setBlockGasLimit evm_setIntervalMining evm_setNextBlockTimestamp
evm_setTime evm_snapshot hardhat_addBalance hardhat_autoImpersonateAccount hardhat_dealERC20
hardhat_dropAllTransactions hardhat_dropTransaction hardhat_dumpState hardhat_getAutomine
hardhat_impersonateAccount hardhat_loadState hardhat_metadata hardhat_mine hardhat_reset hardhat_setBalance
hardhat_setCode hardhat_setCoinbase hardhat_setLoggingEnabled hardhat_setMinGasPrice
hardhat_setNextBlockBaseFeePerGas hardhat_setNonce hardhat_setStorageAt hardhat_stopImpersonatingAccount
personal_sign txpool_content txpool_contentFrom txpool_inspect txpool_status
""".split()
# hardhat: what hardhat-network-helpers calls, and the other methods of its network.
HARDHAT = """
evm_increaseTime evm_mine evm_revert evm_setAutomine evm_setBlockGasLimit evm_setIntervalMining
evm_setNextBlockTimestamp evm_snapshot hardhat_addCompilationResult hardhat_dropTransaction hardhat_getAutomine
hardhat_getStackTraceFailuresCount hardhat_impersonateAccount hardhat_metadata hardhat_mine hardhat_reset
hardhat_setBalance hardhat_setCode hardhat_setCoinbase hardhat_setLoggingEnabled hardhat_setMinGasPrice
hardhat_setNextBlockBaseFeePerGas hardhat_setNonce hardhat_setPrevRandao hardhat_setStorageAt
hardhat_stopImpersonatingAccount
""".split()
# viem: what its test actions send in the modes anvil, hardhat and ganache (src/actions/test).
VIEM = """
anvil_dropTransaction anvil_dumpState anvil_getAutomine anvil_impersonateAccount anvil_loadState anvil_mine
anvil_removeBlockTimestampInterval anvil_reset anvil_setBalance anvil_setBlockTimestampInterval anvil_setCode
anvil_setCoinbase anvil_setLoggingEnabled anvil_setMinGasPrice anvil_setNextBlockBaseFeePerGas anvil_setNonce
anvil_setRpcUrl anvil_setStorageAt anvil_stopImpersonatingAccount eth_sendUnsignedTransaction evm_increaseTime
evm_mine evm_revert evm_setAccountBalance evm_setAccountCode evm_setAutomine evm_setBlockGasLimit
evm_setIntervalMining evm_setNextBlockTimestamp evm_snapshot hardhat_setRpcUrl miner_start miner_stop
txpool_content txpool_inspect txpool_status
""".split()
# ganache: its own methods beside those above.
GANACHE = """
evm_addAccount evm_removeAccount evm_setAccountBalance evm_setAccountCode evm_setAccountNonce
evm_setAccountStorageAt evm_setTime miner_setEtherbase miner_setExtra miner_setGasPrice miner_start miner_stop
personal_importRawKey personal_listAccounts personal_lockAccount personal_newAccount personal_sendTransaction
personal_sign personal_unlockAccount
""".split()


@pytest.mark.parametrize("names", [ANVIL, HARDHAT, VIEM, GANACHE], ids=["anvil", "hardhat", "viem", "ganache"])
def test_every_method_of_the_tools_works_or_is_refused(names: list[str]) -> None:
    assert [name for name in names if name not in METHODS and name not in REFUSED] == []


def test_no_method_both_works_and_is_refused() -> None:
    assert REFUSED.keys() & METHODS.keys() == set()


def test_what_is_refused_belongs_to_a_tool() -> None:
    known = {*ANVIL, *HARDHAT, *VIEM, *GANACHE}
    assert REFUSED.keys() - known == {"anvil_enableTraces"}  # of older versions of anvil


@pytest.mark.parametrize("sentence", sorted(set(REFUSED.values())))
def test_a_refusal_is_a_sentence(sentence: str) -> None:
    assert re.fullmatch(r"[A-Z].{30,}\.", sentence) and "|" not in sentence
