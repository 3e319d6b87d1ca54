"""What each page shows, gathered from the node. The templates say how it looks.

One module for each page: `overview`, `blocks`, `transactions`, `addresses`, `pool`, `mining`, `network`.
"""
