"""RQ as Quarry uses it: queues, which jobs may run, and how many did."""
