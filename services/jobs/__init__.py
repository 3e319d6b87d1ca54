"""RQ as Quarry uses it.

json_only     JSON in place of pickle, RQ's default
queues        the queues, their allow-list of functions, and the queue port over RQ
screen        whether what lies under a job's key can be a job of ours
totals        how many jobs ran and how long they took
worker_names  the names of the worker processes
"""
