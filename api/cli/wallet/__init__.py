"""Commands about keys and coins.

wallet.py        `quarry wallet`: make, list, show, import, export; sign
accounts.py      `quarry wallet accounts`
balance.py       `quarry balance`
send.py          `quarry send`
tx.py            `quarry tx`
faucet.py        `quarry faucet`
transfers.py     signing and sending a transfer, and waiting for its block
wallet_store.py  where the wallets lie, and which one a name means
names.py         the names of addresses that this user has keys for
wallet_arguments.py  completing names of wallets in a shell
secret_input.py  reading private keys and passphrases
"""
