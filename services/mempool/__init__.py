"""The mempool: which transactions are kept for the next blocks."""
