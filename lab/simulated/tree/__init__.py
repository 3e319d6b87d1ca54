"""The simulation for statistics: only blocks, links, shares of the hash rate and strategies, in virtual time.

It has the fork choice and the difficulty of the product, and the strategies of every lab; nothing else of a node.

- `blocks`: a block, its ancestors, the difficulty of the next one
- `draws`: where chance comes in
- `links`: how long news takes between nodes
- `miner`: a node with a strategy
- `payments`: which block holds which payment
- `nodes`: one node, and what wants to know of it
- `clocks`: timestamps of new blocks
- `network`: what happens, in order of time
- `replay`: the same draws again
- `watcher`: a recording of it
- `tree_node`: one node and one link, as scenarios see them
- `lab`: the lab
"""
