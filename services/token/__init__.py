"""The coin as Ethereum wallets see it: an ERC-20 token with receipts and logs.

- `receipts`: blocks with the gas, the events and the bloom filter that wallets expect.
- `logs`: searches events by blocks, addresses and topics.
"""
