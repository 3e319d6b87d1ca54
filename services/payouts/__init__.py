"""Payouts: the rewards of this node's blocks, shared with the miners whose shares led to them.

sharing        one block after another: planned, written down, sent, forgotten
payments_made  what the chain shows as paid, for blocks that were restored from a backup
"""
