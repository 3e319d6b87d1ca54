"""The job functions. `services/jobs/queues.py` lists which functions RQ may run.

- `search`: takes part in rounds of mining.
- `network`: resolves, discovers peers, announces and relays; signs templates.
- `upkeep`: housekeeping on demand.
"""
