"""Ethereum JSON-RPC over the same ledger, for regular wallets."""
