"""Measurements of a whole node on this machine. Each figure has a target or something that it is compared with.

`python -m benchmarks` runs them all; `docs/benchmarks/README.md` has the figures of one machine. A benchmark is a
module with a function `run`; `BENCHMARKS` in `benchmarks/__main__.py` lists them. The other modules help: node.py
starts nodes, generator.py and wallets.py make load, report.py, plots.py and page.py show results. Parts of single
benchmarks are loops.py (mining and latency), prototype.py (submission) and admission.py (rpc).
"""
