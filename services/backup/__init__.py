"""Backups of one node: its keys, its chain and its records in one file that a passphrase opens.

- `sealed`: the file, an encrypted stream in which every alteration is found.
- `content`: what the stream holds, written and read line by line.
- `checking`: whether a backup is whole, and its blocks are one chain.
- `accounting`: tokens, vouchers, what miners have done and payouts, as entries of a backup.
- `key_files`: the keys, wallets and tokens of a node, as entries of a backup.
- `place`: where a restore builds a data directory, until it is complete and takes its name.
"""
