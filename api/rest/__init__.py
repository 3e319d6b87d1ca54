"""The HTTP API in JSON, one blueprint for each subject, and rq-dashboard.

The docstring of each view is also its OpenAPI description (`documentation`).
"""
