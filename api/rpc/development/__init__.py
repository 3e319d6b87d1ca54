"""The control methods, with which a developer's tests steer a node between two lines.

Each is registered by `control_method`, so it exists only for callers who `may_control`.

- `clock`: the timestamps of the blocks to come.
- `mining`: blocks now, and when blocks are mined.
- `states`: `anvil_dumpState` and `anvil_loadState`.
- `branches`: snapshots, going back, and forks.
"""
