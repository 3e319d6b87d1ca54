"""The job functions. `services/jobs/queues.py` lists which of them RQ may run."""
