"""What a launcher asks of, and does to, a node that is coming up: its API over HTTP, its registrations in the store."""

import json
from http.client import HTTPConnection, HTTPException
from typing import Any

_REQUEST_TIMEOUT = 5.0
# RQ's registry of workers (rq.worker_registration), named here since importing RQ would cost this process 10 MB.
_WORKER_REGISTRY = ("rq:workers", "rq:workers:mining", "rq:workers:network")


def ask(url: str, path: str, code: str = "") -> dict[str, Any] | None:
    """The JSON object at a path of our own API; None while it does not answer 200, or a problem with this code.

    http.client, since this process lives as long as the node and urllib3 would cost it 7 MB.
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
    """Drop the registrations of workers that were killed with the last run; no worker lives while Valkey starts."""
    from services.connections import connect_for_requests

    with connect_for_requests(redis_url) as connection:
        connection.delete(*_WORKER_REGISTRY)
