"""Wallets on disk: keys, and the forms in which they travel.

keyring        key directories: making, reading and locking keys
directory      a directory of wallets, and their addresses
signers        private keys that sign transactions, of two schemes
private_keys   reading private keys from PEM, plain or encrypted
pem            finding the private key in a PEM file
ed25519_pem    the PEM files of Ed25519 keys
keystores      Ethereum's JSON keystores
phrases        recovery phrases and the keys derived from them
passphrases    passphrases as bytes
certificates   self-signed certificates of Ed25519 keys
development    the accounts of development chains, whose keys are public
"""
