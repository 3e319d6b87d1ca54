"""Networks of nodes in virtual time, in one process: the product's own code behind simulated ports.

The same seed gives the same run. Nodes are put together as in production (services/node.py); clock, randomness, queue,
store and HTTP to peers are simulated. What must hold is checked after every write to a store.

What a network is made of:

- `scheduler`: virtual time, and tasks that take turns
- `memory`: a store in memory, with redis-py's methods and the real Lua scripts
- `database`: the commands of that store
- `ports`: the ports of a simulated node
- `node`: one node: its store, its processes, its jobs and its requests
- `wsgi`: calls of a node's application
- `network`: what a simulated network is for its nodes
- `surroundings`: what else is different for the code that runs in a simulation
- `checker`: what must hold in every store, judged by a replay of its own
- `branches`: where two branches of the block tree part
- `sealing`: blocks with chosen contents and a real proof

Labs, as scenarios see them:

- `lab`: the interface of a lab in virtual time
- `simulated_node`: one node of it, as scenarios see it
- `mining_node`: the node behind it, which mines all the time and can be stopped, killed and started
- `lab_network`: wires, nodes, and what is recorded of them
- `links`: what connects two nodes
- `front`: stands between a miner with a strategy and its peers
- `false_times`: timestamps that a strategy chooses
- `chain_door`: serves one chain, whichever chain a node has
- `claimant`: a peer that claims work which it did not do
- `draws`: what chance has decided in a run
- `tree`: the statistical simulation: only blocks, links, shares of the hash rate and strategies

Schedules, which look for bugs with faults and load that are drawn from a seed:

- `plan`: what one seed stands for
- `world`: a schedule: a network, what goes wrong in it, and what came of it
- `liveness`: what a healed network must reach in time
- `clients`: users who send transactions and ask for blocks
- `liar`: a peer that lies about its chain
- `strangers`: peers that use up a node's time, and strangers that announce in their names
- `parting`: a schedule on a chain with sealers, whose nodes have different upgrades
- `schedules`: many seeds, as a command
- `mutants`: planted bugs that the schedules must find; `planting`: how they are planted, and taken out again
"""
