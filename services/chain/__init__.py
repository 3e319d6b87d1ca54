"""The chain: how it grows, how it changes branch, and what can be asked of its past.

- `accept`: appends a block that extends the tip.
- `reorganiser`: verifies a branch and swaps it in.
- `finishing`: brings indexes, histories and mempool in line after a swap.
- `changes`: which blocks were detached and attached since a reader last looked.
- `packer`: packs old blocks, so that they take less memory.
- `earlier_chains`: refuses a chain that an earlier version began and that breaks a rule added since.
- `upgrades`: refuses a chain whose blocks break the upgrades that the operator has given since.
- `snapshots`: the ledger at a recent height.
- `inclusion`: the proof that a block holds a transaction.
- `prefixes`: blocks and transactions by the first digits of their hash.
"""
