"""The mempool: which transactions the node keeps for its next blocks.

- `admission`: admits transactions in batches, expires them, and drops those that became invalid.
- `judgement`: judges one sender's transactions by the node's policy.
- `gaps`: which nonces a waiting transaction needs first.
- `prefixes`: waiting transactions by the first digits of their id.
"""
