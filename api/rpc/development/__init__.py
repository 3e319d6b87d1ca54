"""The control methods, with which a developer's tests steer a node between two lines.

Each is registered by `control_method`, so it exists only for callers who `may_control`.

- `branches`: snapshots, going back, and forks.
- `accounts`: sending and signing with the development accounts.
- `balances`: setting balances and allowances.
- `pool`: dropping transactions from the mempool.
- `instance`: what the node is.
- `parameters`: reading parameters as test tools write them.
- `refused`: what cannot be here, and why; `page`: the page of all of it.
- `clock`: the timestamps of the blocks to come.
- `mining`: blocks now, and when blocks are mined.
- `states`: `anvil_dumpState` and `anvil_loadState`.
"""
