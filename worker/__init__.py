"""What does a node's work: worker and ticker processes, the job functions, the hash kernel.

- `programs`: the arguments of `python -m worker`.
- `process`: the worker process, and `context`: what its jobs find in it.
- `jobs`: the job functions.
- `claim_size`: how many proofs a worker claims at once; `kernel`: scans them.
- `miner`: mines over HTTP for a node that does not trust it, with a voucher.
- `ticker`: enqueues the scheduled jobs. Threads beside it: `housekeeper`, and `pacemaker` for interval mining.
- `state_files`: state files of a node that starts or has ended.
- `preload`: what a nursery loads, from which these programs are forked.
- `rq_logs`: RQ's own log lines.
"""
