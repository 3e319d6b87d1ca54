"""The lab: networks of nodes that are made to be broken, real or simulated, and what was seen in them.

A scenario is a program that acts on a `Lab` and says what should follow. It runs on real nodes with real proof of
work, or on simulated ones in virtual time, and cannot tell which. Nothing below this package knows of it.

- `cli`: `quarry lab`
- `showing`: how scenarios and verdicts are shown
- `session`: a network and its page, until Ctrl-C
- `files`: recordings and their pages as files
- `runner`: runs a scenario, once or once for each seed
- `loading`: scenarios and strategies as files
- `grading`: what a strategy earns
- `attack`: attacks on an application of the user's own
- `guard`: strategies that fail are reported
- `withholding`: what a front does with the blocks of its miner and of others
- `chain_pages`: which blocks a request for a part of a chain means
- `formulas`: what theory expects
- `measures`: figures of a block tree, and parts of the hash rate
- `cuts`: which links are cut
- `blocktree`: the blocks of all nodes, and who has them
- `timeline`: a recording as text
- `interface`: what a scenario sees: the lab, its nodes and its links
- `strategy`: what a miner does with a block that it found or heard of
- `seeds`: seeds of simulated runs, with the version of the simulation
- `recording`: everything that happened, in order, as lines of JSON
- `verdicts`: what a scenario claimed, whether it held, and intervals
- `real`: nodes as processes, and the network between them
- `strategies`: what miners do, small classes to copy
- `page`: the page from which a network is broken
- `units`: amounts and hash rates as scenarios write them
- `wallets`: the wallets of simulated nodes
- `scenarios`: the built-in scenarios
- `simulated`: networks of nodes in virtual time
"""
