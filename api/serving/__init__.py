"""The layer between the server (granian) and the application.

`gate` receives request bodies and sends answers in pieces, and takes what both hold from one account, `budget`.
`connections` ends connections that hold something for too long. `runner` is how granian calls the application, `heap`
returns memory to the system, `hosts` says which hosts a server answers for, `intent` which requests of browsers were
intended, `header_fields` has the fields of every answer, `startup` is what servers check before they bind a port, and
`request_metrics` and `held_metrics` are what `/metrics` shows of all this. `traced` makes spans of requests.
"""
