"""A node: everything that needs a store, a clock, files, processes or the network. Each package's docstring is its map.

At this level: `node` puts one node together behind its `ports`; `errors`, `connections` to Redis, the `clocks` of its
processes, the `registry` of nodes in the broker, `housekeeping`, and `overview`, the one query for its state.
"""
