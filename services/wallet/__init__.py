"""Wallets on disk: keys, the forms in which they travel, and the accounts of development chains."""
