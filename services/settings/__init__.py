"""What an operator can set, and how the texts are read.

table       the settings of a node: one row for each environment variable
rows        what a row says
values      readers of numbers, words, addresses, amounts and lists
keeping     how few blocks a node may keep
hosts       readers of hosts and web origins
redis_url   the reader of Redis URLs
proxy_url   the reader of a forward proxy's URL
paths       paths with `~`
"""
