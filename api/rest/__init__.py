"""The HTTP API for people and programs, one blueprint per subject, and rq-dashboard."""
