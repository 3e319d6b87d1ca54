"""The HTTP API in JSON.

The docstring of each view is also its OpenAPI description. `api/app.py` registers the blueprints.

- `transactions`: submits transactions and looks them up; `mempool`: lists those that wait.
- `blocks`: the chain; `accounts`: single accounts, and the whole stored ledger.
- `leases`, `vouchers`: miners that are not trusted; `payouts`: what they were paid. `lease_door` answers the usual
  requests of miners before Flask does, several at once by `lease_batches`.
- `mining`: mining requests and rounds; `faucet`: free coins on development chains.
- `tips`: the ends of all branches that the node knows.
- `peers`: the list of peers, announcements, resolving, headers; `names`: names of addresses on this node's pages.
- `tokens`: named admin tokens, and the audit log.
- `health`: probes, chain spec and status; `metrics`: for Prometheus; `events`: server-sent events.
- `documentation`: the OpenAPI document and `/docs`, with `groups` and `examples`; `dashboard`: rq-dashboard at `/rq`.
"""
