"""Everything that touches the world: stores, mempool, mining rounds, peers, wallets."""
