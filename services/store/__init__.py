"""One node's chain, ledger, mempool and mining in Redis or Valkey.

Every change of the chain, the mempool or a round is one script in `lua/`; a repair writes record by record.

keys, base, scripts          the names of all keys, which are the whole schema; what all stores share; loading `lua/`
network_keys, mining_keys    the names of the keys about peers and branches; about searches, vouchers and leases
operator_keys                the names of the keys about names and tokens
records, rounds, arguments   how values are written and read again, and how a block is passed to a script
chain                        beginning the chain and appending; on top of the readers `blocks`, `ledger` and `index`
packs, pack_form, packing    old blocks in compressed values: reading them, their form, packing and unpacking
pruning                      removing the bodies of packed blocks
schema                       which form the store has
branch                       staged blocks, the swap of a reorganisation, and its journal
tips                         the ends of branches that were not adopted, and refused blocks
snapshots                    the tip and the mempool as they were, for a development node that goes back
digest, faults, mender       sums over the state, the mark that it is wrong, and the writes of a repair
stored, ledger_copy          records byte for byte, and the whole ledger at one moment, for the checks in services/audit
pool                         the mempool
mining, searches             requests and rounds as the node sees them; what mining workers do with rounds
inbox                        what mining workers hand in
vouchers, leases             what miners that are not trusted may do, and have done
payouts                      the window of shares, blocks that wait for their payout, and the payments
peers, outbox, resolutions   peers, transactions to relay, resolutions asked for over HTTP
events, news, filters        the stream of events, its listeners in this process, and JSON-RPC's filters
block_times, modes           the clock of a development chain, and how control methods let it mine
figures                      the figures of a round, for everything that shows them
overview, slots              the node's state in one query, and the slots of housekeeping
development                  which run this is, and whose turn it is to set balances
names                        the names that the operator gave to addresses
tokens                       named admin tokens, and the audit log
accounting                   tokens, vouchers, miners and payouts, as a backup takes them
broker                       what all nodes of a broker share
snapshot_copy                all snapshots as values, for state files
state                        what a state file needs beyond what the others read and write
"""
