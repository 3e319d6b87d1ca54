"""The real world: nodes as processes on this machine, with real proof of work, and a router between them.

- `lab`: the lab itself
- `node`: one node: started, stopped, killed, paid from, limited
- `watcher`: follows what a node has, and keeps it mining
- `router`: the forward proxy through which every node talks to its peers
"""
