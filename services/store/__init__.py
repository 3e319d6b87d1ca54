"""One node's chain, ledger and mempool in Redis or Valkey. `keys` is the whole schema; every change is one script."""
