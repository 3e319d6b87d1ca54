"""Commands about blocks.

chain.py          `quarry chain`: verify, export, import
show.py           `quarry chain show`
tips.py           `quarry chain tips`
upgrade.py        `quarry upgrade`
anchor.py         `quarry anchor`
verify_anchor.py  `quarry verify-anchor`
repair.py         `quarry repair`
verification.py   replaying a node's chain by all rules
pruned.py         the same of a node that has removed the bodies of old blocks
comparison.py     comparing what a node has stored with its blocks
chain_file.py     a chain as a file
anchor_proof.py   the proof of an anchor as a file
stores.py         finding a node's store, and opening a node on it
"""
