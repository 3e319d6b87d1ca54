"""Ethereum JSON-RPC over the same ledger, for wallets that are made for Ethereum.

`dispatch` takes requests over HTTP, and `protocol` answers them. The methods are in `chain`, `state`, `transactions`,
`sending`, `mempool`, `logs`, `subscribing` and `development`, which enter them in `method_table`; `caller` says who
may use control methods. `quantity` and `tags` read parameters; `representations` and `errors` write results;
`error_log` logs errors for developers; `waiting` bounds the requests that wait for a block.
"""
