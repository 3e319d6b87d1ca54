"""The coin as Ethereum wallets see it: an ERC-20 token with receipts and logs.

- `receipts`: transactions with the gas, the events and the bloom filter that wallets expect.
- `spec_block`: block 0, the chain spec with its allocations as events.
- `wallet_blocks`: reads blocks in this form.
- `logs`: searches events by blocks, addresses and topics.
"""
