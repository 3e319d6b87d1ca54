"""What two nodes must agree on. Pure: no store, no sockets, no clock, no randomness, no environment.

In the order in which the modules build on each other:

    errors, wire, hashing, canonical   refusals; JSON, hashes and canonical bytes
    addresses, amounts, keys           how accounts and coins are written; Ed25519 signatures
    hash_rate                          how speeds of a search are written
    chain_spec, spec_page              the constants of one chain, and the page that describes them
    ethereum, erc20                    transactions that Ethereum wallets sign; the token's call data and logs
    transaction, reward                what a block holds
    merkle, proof, block               what a chain consists of
    ledger                             how transactions change accounts
    difficulty, timestamps, sealing    what a header must say, and who may sign it
    signatures, ed25519                all signatures of a block, and who checks them
    upgrades                           constants and sealers that change at a height
    shares                             what miners that are not trusted have done
    payouts                            how a reward is divided among them
    evidence                           whether a broken rule proves something about a block's hash
    tutorial_variants                  which of the tutorial's programs made a block
    rules                              all of it behind one interface, for the standard and the tutorial's rules
    validation, forkchoice, replay     whether a block is valid, which chain wins, and a whole chain in memory
"""
