"""The real world: nodes as processes on this machine, with real proof of work, and a router between them.

- `lab`: the lab itself
- `hands`: the thread that starts, watches and ends the processes of its nodes
- `node`: one node: started, stopped, killed, paid from, limited
- `watcher`: follows what a node has, and keeps it mining
- `warden`: cleans up after a lab that was killed
- `claimant`: a peer that claims work which it did not do
- `front`: stands before a node whose miner has a strategy
- `chain_copy`: what it answers for a chain
- `door`: its HTTP
- `false_clock`: the timestamps of its blocks, where a strategy chooses them
- `going_back`: a node leaves the last blocks of its chain
- `refusals`: blocks that nodes refused, and peers that were seen to lie
- `wiring`: the links, as scenarios see them: cuts, partitions, and their events
- `router`: the HTTP forward proxy that all nodes of a lab use for their peers
- `network`: the router between nodes that somebody else started, and its controls
- `links`: what it does to the bytes that go from one node to another
- `exchange`: one request and its answer
- `messages`: what comes from a client and from a node, as HTTP
"""
