"""The HTTP API in JSON, one blueprint for each subject, and rq-dashboard.

The docstring of each view is also its OpenAPI description (`documentation`). `api/app.py` registers the blueprints.

- `transactions`, `mempool`, `blocks`, `accounts`: what is submitted, what waits, and what is on the chain.
- `mining`: requests and rounds. `peers`: peers, announcements, resolving.
- `events`: the stream of events. `faucet`: free coins on development chains.
- `health`, `metrics`: liveness, readiness, status; figures for Prometheus.
- `dashboard`: rq-dashboard at `/rq`.
"""
