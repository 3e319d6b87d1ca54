"""The door for wallets and tools: JSON-RPC over HTTP and WebSocket on one port, in a process of its own (`quarry rpc`).

`server` runs the process, `door` has what all its connections share. A connection begins in `http`, with `requests` as
they arrive, and may become a WebSocket in `websocket`; `sockets` is what both have in common, and `answering` the half
of `http` that writes. One event loop does all input and output. Methods run in the threads of `pool`, since they wait
for the store; a `job` is one request there.

`feed` is the one reader of what happens on the node, `backlog` keeps it as steps for the subscribers, `notices` are the
messages that a step is for one subscription, and `subscriptions` are those of one WebSocket. `leases` are the requests
of miners: `gathering` reads them together, `known_heads` has the heads that came before, `lease_batches` answers them
together, and `lease_news` is the one reader for those that wait. `probes` are those of health checks. `watch` ends
connections that are silent, slow or stuck, and `limits` has the numbers.
"""
