"""Connections to Redis or Valkey, the only ones of the product.

servers         connections for requests, whose callers wait, and for jobs, which can wait for the store
request_client  a client whose threads keep their connections
failures        why the store gave no answer, for the log
sentinels       connections to a server that Sentinels choose
"""
