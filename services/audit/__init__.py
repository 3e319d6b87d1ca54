"""Whether the stored state is the one that the blocks give, and repairing it.

- `quick`: the check at each start, in seconds: sums over everything, and some blocks one by one (`samples`).
- `full`: replays every block by all rules and compares every record, block by block; `final_state` compares the end
  of the replay, `links` finds the right block where the list of heights is wrong, `outcome` is what was found.
- `pruned`: the part of the full check about blocks whose bodies were pruned.
- `watchman`: when the checks run, and the mark that stops the node where something differs.
- `repair`: a full check that writes what differs.
- `ahead`: signatures that another process (`checking`) checks ahead of a replay, for `quarry chain verify` and
  `quarry chain import`.

The records are read by `services/store/stored.py`, undecoded, and written by `services/store/mender.py`.
"""
