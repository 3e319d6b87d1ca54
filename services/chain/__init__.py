"""The chain: accepting a block, reorganising, reading it at a height, proving what is in it."""
