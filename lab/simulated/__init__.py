"""Networks of nodes in virtual time, in one process: the product's own code behind simulated ports.

The same seed gives the same run. Faults and load of a schedule are drawn from its seed; what must hold is checked after
every write to a store.

- `scheduler`: virtual time, and tasks that take turns
- `memory`: a store in memory, with redis-py's methods and the real Lua scripts
- `database`: the commands of that store
- `ports`: the ports of a simulated node: clock, randomness, HTTP, store and queue
- `node`: one node: its store, its processes, its jobs and its requests
- `surroundings`: what else is different for the code that runs in a simulation
- `checker`: what must hold in every store, judged by a replay of its own
- `plan`: what one seed stands for
- `network`: what a simulated network is for its nodes
- `world`: a schedule: a network, what goes wrong in it, and what came of it
- `liveness`: what a healed network must reach in time
- `clients`: users who send transactions and ask for blocks
- `liar`: a peer that lies about its chain
- `strangers`: peers that use up a node's time, and strangers that announce in their names
- `sealing`: blocks with chosen contents and a real proof
- `schedules`: many seeds, as a command
- `mutants`: planted bugs that the schedules must find
"""
