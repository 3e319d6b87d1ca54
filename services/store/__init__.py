"""One node's chain, ledger and mempool in Redis or Valkey.

`keys` is the whole schema. Every change of the chain, the mempool or a round is one script in `lua/`, called by one
method here.

keys, records   the names of the keys; how entries, headers and the tip are written
scripts, base   loading and running the scripts; what every store of a node holds
arguments       a block and its changes as arguments of the scripts
blocks, ledger  reading blocks and headers; reading accounts, allowances and undo records
index           where a transaction is, and which transactions name an address
chain           beginning the chain, and appending to it
branch          staging a branch, swapping it in, and finishing the swap
digest          two sums over the stored state, in the tip
pool, outbox    the mempool; the transactions that are still to be sent to peers
mining, rounds  requests, rounds and claims; a round and a request as they are stored
overview        the node's state, read at one moment
events, news    the stream of events; events passed on to listeners
peers           records of peers, and what they announced
resolutions     resolutions that clients wait for
filters         JSON-RPC filters
slots           the turns of housekeeping
faults          the mark on a store whose state is wrong
stored, ledger_copy, mender   for the audit: records as they are stored, a copy of the ledger, correcting records
broker          what all nodes of a broker share
"""
