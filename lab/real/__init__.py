"""The real world of the lab: nodes as processes, and the network between them.

- `router`: the HTTP forward proxy that all nodes of a lab use for their peers
- `links`: what it does to the bytes that go from one node to another
- `exchange`: one request and its answer
- `messages`: what comes from a client and from a node, as HTTP
"""
