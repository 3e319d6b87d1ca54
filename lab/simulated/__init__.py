"""Networks of nodes in virtual time, in one process.

- `tree`: only blocks, links, shares of the hash rate and strategies, for statistics
"""
