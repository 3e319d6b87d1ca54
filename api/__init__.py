"""What people and programs talk to: the HTTP server, the door for wallets, and the command line.

`server` starts the processes that serve `app`, the Flask application of one node. Its views are in three packages:
`rest` (JSON), `rpc` (Ethereum JSON-RPC) and `explorer` (pages). They share `access` (the node behind a request, and who
may do what), `audit` (what was done with admin tokens), `reading` (input), `representations` (output), `cors` and
`headers`; `leasing` is how miners ask for leases, of both servers. Below them, `serving` limits what connections may
hold, and `errors` turns every error into a response. `door` serves `rpc` over HTTP and WebSocket in a process of its
own. `cli` is a client and shares nothing with them. `preload` loads all of it in a nursery, from which the programs are
forked. Import-linter checks these layers (pyproject.toml).
"""
