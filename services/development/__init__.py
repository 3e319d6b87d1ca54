"""What a development node does on demand: going back, another clock, mining modes, accounts whose keys everybody knows.

All of it is reached by the control methods of JSON-RPC (`api/rpc/development`), which exist on development specs only.

- `clock`: moving the timestamps of the blocks to come.
- `mining`: some blocks now.
- `state_file`: the bytes of a state file.
- `state_disk`: state files on disk.
- `stale`: the stale blocks of a file, while they are verified.
- `clock_part`: the clock in a state file.
- `states`: saving and loading the state of a node.
"""
