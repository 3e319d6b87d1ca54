"""Methods of anvil, hardhat and ganache that cannot be on this chain: each is refused with the reason, and what to do.

They exist for those who `may_control` only, as control methods do.
"""

_IMPERSONATION = (
    "No account can be impersonated: a block holds only transactions that their sender has signed, and every node "
    "checks that. Send from a development account (eth_accounts), or sign with the account's own key."
)
_NO_CONTRACTS = (
    "There are no contracts here, so there is no code and no storage to set: the chain has one built-in token and no "
    "virtual machine."
)
_NONCE = (
    "A nonce cannot be set: it counts the transactions of an account that are on the chain. Send transactions to raise "
    "it, or use a fresh account."
)
_CHAIN_ID = "The chain id is in the chain spec, which the genesis block commits to: start a node with another spec."
_GAS_LIMIT = (
    "Blocks are limited by max_block_transactions and max_block_bytes of the chain spec, not by gas: start a node with "
    "another spec."
)
_COINBASE = "Rewards go to the address in QUARRY_REWARD_ADDRESS: start the node with another one."
_BASE_FEE = "The base fee is always 0: a transaction pays its gas price or its priority fee."
_MIN_PRICE = "The least fee that the node admits is QUARRY_MIN_FEE: start the node with another one."
_RANDAO = "There is no beacon chain here, so blocks have no RANDAO value."
_FORKED = "The node does not fork another chain: it has no RPC URL to read from."
_LOGGING = "What the node logs is set by QUARRY_LOG_LEVEL when it starts."
_TRACES = "Nothing is executed here, so there are no traces: a mined transaction has succeeded."
_BLOBS = "There are no blobs here: transactions of types 0, 1 and 2 are accepted."
_OTHER_CHAIN = "This method belongs to another chain's fees: here they are paid in the chain's own coin."
_KEYS = (
    "The node keeps no keys but those of the development accounts, which are always unlocked: sign with other keys in "
    "the client, and send with eth_sendRawTransaction."
)
_AUTOMINE = "Whether transactions are mined at once is set by evm_setAutomine."

# Method -> the sentence that it is refused with.
REFUSED: dict[str, str] = {
    "anvil_impersonateAccount": _IMPERSONATION,
    "anvil_stopImpersonatingAccount": _IMPERSONATION,
    "anvil_autoImpersonateAccount": _IMPERSONATION,
    "anvil_impersonateSignature": _IMPERSONATION,
    "hardhat_impersonateAccount": _IMPERSONATION,
    "hardhat_stopImpersonatingAccount": _IMPERSONATION,
    "hardhat_autoImpersonateAccount": _IMPERSONATION,
    "eth_sendUnsignedTransaction": _IMPERSONATION,
    "anvil_setCode": _NO_CONTRACTS,
    "hardhat_setCode": _NO_CONTRACTS,
    "evm_setAccountCode": _NO_CONTRACTS,
    "anvil_setStorageAt": _NO_CONTRACTS,
    "hardhat_setStorageAt": _NO_CONTRACTS,
    "evm_setAccountStorageAt": _NO_CONTRACTS,
    "hardhat_addCompilationResult": _NO_CONTRACTS,
    "hardhat_getStackTraceFailuresCount": _TRACES,
    "anvil_enableTraces": _TRACES,
    "anvil_setNonce": _NONCE,
    "hardhat_setNonce": _NONCE,
    "evm_setAccountNonce": _NONCE,
    "anvil_setChainId": _CHAIN_ID,
    "anvil_setBlockGasLimit": _GAS_LIMIT,
    "evm_setBlockGasLimit": _GAS_LIMIT,
    "anvil_setCoinbase": _COINBASE,
    "hardhat_setCoinbase": _COINBASE,
    "miner_setEtherbase": _COINBASE,
    "anvil_setNextBlockBaseFeePerGas": _BASE_FEE,
    "hardhat_setNextBlockBaseFeePerGas": _BASE_FEE,
    "anvil_setMinGasPrice": _MIN_PRICE,
    "hardhat_setMinGasPrice": _MIN_PRICE,
    "miner_setGasPrice": _MIN_PRICE,
    "anvil_setNextBlockPrevRandao": _RANDAO,
    "hardhat_setPrevRandao": _RANDAO,
    "anvil_setRpcUrl": _FORKED,
    "hardhat_setRpcUrl": _FORKED,
    "anvil_setLoggingEnabled": _LOGGING,
    "hardhat_setLoggingEnabled": _LOGGING,
    "miner_setExtra": "Blocks have no extra data here, so there is nothing to set.",
    "miner_start": _AUTOMINE,
    "miner_stop": _AUTOMINE,
    "anvil_getBlobByHash": _BLOBS,
    "anvil_getBlobsByTransactionHash": _BLOBS,
    "anvil_classifyTransaction": _OTHER_CHAIN,
    "anvil_dealTIP20": _OTHER_CHAIN,
    "anvil_setFeeToken": _OTHER_CHAIN,
    "anvil_setValidatorFeeToken": _OTHER_CHAIN,
    "anvil_setFeeAmmLiquidity": _OTHER_CHAIN,
    "eth_signRawTransaction": _OTHER_CHAIN,
    "eth_signTypedData_v3": "Typed data is signed by eth_signTypedData_v4, which reads arrays too.",
    "eth_resend": "Send a transaction with the same nonce and a fee that is a tenth higher: it takes the place.",
    "anvil_getLastBlockWallTime": "Blocks come from other nodes too: their time is the timestamp of the block.",
    "evm_addAccount": _KEYS,
    "evm_removeAccount": _KEYS,
    "personal_importRawKey": _KEYS,
    "personal_newAccount": _KEYS,
    "personal_lockAccount": _KEYS,
    "personal_unlockAccount": _KEYS,
    "personal_listAccounts": "The development accounts are listed by eth_accounts.",
    "personal_sendTransaction": "Send with eth_sendTransaction: the development accounts are always unlocked.",
}
