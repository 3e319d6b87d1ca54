"""The groups of the OpenAPI document: to which each endpoint belongs, and which paths are only other names."""

from collections.abc import Mapping

# In the order in which the page shows them.
GROUPS: Mapping[str, str] = {
    "Transactions": "Submit signed transactions, and see what becomes of them.",
    "Accounts": "Balances, nonces, names, and the faucet of a development chain.",
    "Blocks": "The chain: blocks, headers, and the spec that it began with.",
    "Mining": "Ask for blocks, and follow the search.",
    "Peers": "The other nodes, and agreement with them.",
    "JSON-RPC": "The door for Ethereum wallets and libraries.",
    "Node": "What the node is doing, for people and for monitoring.",
    "Pages": "HTML for browsers: the explorer, its search and its files.",
    "Aliases": "Other names that the tutorial uses for endpoints of the groups above.",
}

# Blueprint, or one endpoint of it -> group.
_GROUP_OF: Mapping[str, str] = {
    "transactions": "Transactions",
    "mempool": "Transactions",
    "accounts": "Accounts",
    "faucet": "Accounts",
    "names": "Accounts",
    "blocks": "Blocks",
    "health.spec": "Blocks",
    "health.upgrades": "Blocks",
    "peers.headers": "Blocks",
    "mining": "Mining",
    "leases": "Mining",
    "vouchers": "Mining",
    "payouts": "Mining",
    "peers": "Peers",
    "tips": "Peers",
    "tokens": "Node",
    "rpc": "JSON-RPC",
    "health": "Node",
    "metrics": "Node",
    "stream": "Node",
    "documentation": "Node",
    "documentation.docs": "Pages",
    "explorer": "Pages",
}

# Path -> the path that it is another name of.
ALIASES: Mapping[str, str] = {
    "/transaction/new": "/transactions/new",
    "/miner/register": "/nodes/register",
    "/miner/nodes/resolve": "/nodes/resolve",
}


def group_of(endpoint: str, path: str) -> str:
    """The group of a view: `endpoint` as Flask names it, `path` as OpenAPI writes it."""
    if path in ALIASES:
        return "Aliases"
    return _GROUP_OF.get(endpoint) or _GROUP_OF[endpoint.partition(".")[0]]
