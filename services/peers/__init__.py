"""Peers: the nodes that this node asks for their chains, what it asks, and how it adopts a better chain.

- `urls`, `book`: which URLs may be a peer, and what is known of each.
- `http`, `patience`, `json_array`, `client`: the questions to a peer, within limits of time and size; `proxy`: all of
  them through the operator's proxy.
- `claims`: what the peers claim of their chains; discovery of further peers.
- `resolver`: which claims are tried, in which order, and what follows for a peer that lied or failed.
- `header_chain`, `whole_chain`: adopting one peer's chain. Most lies are found here: headers that do not connect, work
  that is not there.
- `adopter`, `stretch`: what both of them need; `bodies`: which peers are asked for blocks that the one with the headers
  has pruned.
- `sightings`: notes of branches and blocks that were not adopted; `tips`: the ends of all branches.
- `consensus`: resolving on demand.
- `announcer`: news of tips and transactions, to peers and from them.
"""
