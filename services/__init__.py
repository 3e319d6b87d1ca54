"""Everything that touches the world: stores, mempool, mining rounds, peers, wallets.

The rooms are `store`, `mempool`, `mining`, `chain`, `peers`, `audit`, `backup`, `token`, `development`, `jobs`,
`wallet`, `launch`, `payouts`, `operators`, `connections`, `settings` and `system`; docs/architecture.md says what each
does, and which may import which. Beside them:

- `node`: one node, put together from the rooms.
- `ports`: clock, randomness, queue and store, which tests and the simulation replace.
- `housekeeping`: what a node does every few seconds.
- `attending`: a thread that sits at the desk, where blocks are made of the proofs that workers hand in.
- `registry`: what workers must know of a node. `clocks`: one clock for all processes of a node.
- `errors`: refusals and failures of this node.
"""
