"""Measurements of a whole node on the machine at hand, each beside its target and what it is compared with.

`python -m benchmarks` runs them all; `docs/benchmarks/README.md` shows what one machine gave.
"""
