"""A node that is starting, as its launcher sees it: its API over HTTP, and the registrations of its workers."""

import json
from http.client import HTTPConnection, HTTPException
from typing import Any

_REQUEST_TIMEOUT = 5.0
# RQ's registry of workers (rq.worker_registration). Importing RQ takes 10 MB, which this process does not spend.
_WORKER_REGISTRY = ("rq:workers", "rq:workers:mining", "rq:workers:network")


def ask(url: str, path: str, code: str = "") -> dict[str, Any] | None:
    """The JSON object at a path of our own API; None unless it answers 200, or a problem with the code `code`.

    By http.client: this process lives as long as the node, and urllib3 takes 7 MB.
    """
    host = url.removeprefix("http://")
    connection = HTTPConnection(host, timeout=_REQUEST_TIMEOUT)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read()
        value = json.loads(body)
        wanted = isinstance(value, dict) and (response.status == 200 or (code != "" and value.get("code") == code))
        return value if wanted else None
    except (OSError, HTTPException, ValueError):
        return None
    finally:
        connection.close()


def forget_workers(redis_url: str) -> None:
    """Drop the registrations of workers that were killed in the last run. No worker of this run has started yet."""
    from services.connections import connect_for_requests

    with connect_for_requests(redis_url) as connection:
        connection.delete(*_WORKER_REGISTRY)
