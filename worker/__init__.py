"""The door for jobs: RQ job functions, the hash kernel, worker and ticker processes."""
