"""What a development node does on demand: going back, another clock, mining modes, accounts whose keys everybody knows.

All of it is reached by the control methods of JSON-RPC (`api/rpc/development`), which exist on development specs only.

- `going_back`: snapshots; returning to one, to an earlier block, or to genesis.
- `forks`: another branch, mined beside the chain by the real workers.
- `candidates`: the transactions that such a branch may hold.
- `accounts`: the unlocked accounts, and which keys they are.
- `balances`: sets balances by real transactions.
- `clock`: moving the timestamps of the blocks to come.
- `mining`: some blocks now.
- `state_file`: the bytes of a state file. `state_disk`: state files on disk.
- `states`: saving and loading the state of a node. `stale`: the stale blocks of a file, while they are verified.
- `clock_part`, `snapshots_part`: the clock and the snapshots in a state file.
"""
