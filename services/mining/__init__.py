"""Mining: requests for blocks, and rounds that workers search together.

- `requests`: asks for a block, waits for it, and cancels a round.
- `templates`: makes the next block without its proof from the mempool.
- `sealer`: the key that signs templates where only sealers may seal.
- `pace`: how fast one worker may search under a hash-rate limit.
- `policy`: how the node mines, from its settings.
- `rounds`: opens a round, gives it templates, and seals the block.
- `searches`: what a worker does: it claims ranges of proofs, reports, and hands in what it finds.
- `desk`: deals with what workers hand in, in processes of the node.
- `demand`: how many workers a round wants.
- `aside`: rounds for blocks of another branch.
- `modes`: when the node mines by itself.
- `vouchers`, `leases`: miners that are not trusted, which take proofs and hand in shares over HTTP.
- `seal_log`: the log lines about sealed blocks.
"""
