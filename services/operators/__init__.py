"""What the operator of a node decides: who may act for it, and what addresses are called on its pages.

tokens  named admin tokens with scopes, and the audit log of what was done with them
names   names of addresses
"""
