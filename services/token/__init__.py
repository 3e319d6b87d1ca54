"""The coin as Ethereum wallets see it: an ERC-20 token with receipts and logs."""
