"""The job functions. `services/queues.py` lists which of them RQ may run."""
