"""What a development node does on demand: going back, another clock, mining modes, accounts whose keys everybody knows.

All of it is reached by the control methods of JSON-RPC (`api/rpc/development`), which exist on development specs only.

- `state_file`: the bytes of a state file
- `state_disk`: state files on disk
- `stale`: the stale blocks of a file, while they are verified
- `states`: saving and loading the state of a node
"""
