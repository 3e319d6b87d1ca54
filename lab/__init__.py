"""The lab: networks of nodes that are made to be broken, real or simulated, and what was seen in them.

A scenario is a program that acts on a `Lab` and says what should follow. It runs on real nodes with real proof of
work, or on simulated ones in virtual time, and cannot tell which. Nothing below this package knows of it.

- `interface`: what a scenario sees: the lab, its nodes and its links
- `strategy`: what a miner does with a block that it found or heard of
- `strategies`: honest, selfish, double-spending and other miners
- `formulas`: what theory says of them
- `simulated`: networks in virtual time
- `units`: amounts and hash rates as scenarios write them
- `wallets`: the wallets of the nodes
- `recording`: everything that happened, in order, as lines of JSON
- `verdicts`: what a scenario claimed, whether it held, and intervals
"""
