"""What does a node's work: worker and ticker processes, the job functions, the hash kernel.

- `process`: the worker process, and `context`: what its jobs find in it.
- `jobs`: the job functions.
- `claims`: how many proofs a worker claims at once; `kernel`: scans them.
- `ticker`: the ticker process, which enqueues the scheduled jobs; `housekeeper`: its thread for housekeeping.
- `__main__`: starts one of the two processes.
- `rq_logs`: shortens RQ's own log lines.
"""
