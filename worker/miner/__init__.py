"""`quarry miner`: mines over HTTP for a node that does not trust it, with a voucher and without Redis.

- `program`: the processes of one miner, and what it prints.
- `search`: one process: leases, shares, reports.
- `door`: leases over HTTP, as docs/mining.md describes them.
- `ways`: where the node is asked, at the URL that was given or at its `quarry rpc`.
- `news`: hears of new tips.
- `board`: what the processes of one miner share.
"""
