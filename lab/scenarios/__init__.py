"""The built-in scenarios, each a file to read and to copy.

- `crash`: kill every node in turn while payments are made
- `double_spend`: pay a shop, and take the payment back
- `fees`: a block that earned a high fee is worth replacing
- `latency`: news that travels slowly makes blocks stale
- `liar`: peers that claim work they have not done
- `majority`: more than half of the hash rate
- `partition`: two sides, conflicting payments, and what is left of them
- `selfish`: a miner that keeps its blocks to itself
- `timewarp`: miners who lie about the time
"""
