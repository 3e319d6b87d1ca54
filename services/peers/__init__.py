"""Peers: who they are, what they are asked, whose chain is better, and telling them of ours."""
