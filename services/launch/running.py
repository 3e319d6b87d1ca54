"""A node that is starting, as its launcher sees it: its API over HTTP, and the registrations of its workers."""

import json
from http.client import HTTPConnection, HTTPException
from typing import Any

_REQUEST_TIMEOUT = 5.0
# RQ's registry of workers (rq.worker_registration). Importing RQ takes 10 MB, which this process does not spend.
_WORKER_REGISTRY = ("rq:workers", "rq:workers:mining", "rq:workers:network")


def ask(url: str, path: str, code: str = "") -> dict[str, Any] | None:
    """The JSON object at a path of our own API; None unless it answers 200, or a problem with the code `code`."""
    status, value = _exchange(url, "GET", path)
    wanted = isinstance(value, dict) and (status == 200 or (code != "" and value.get("code") == code))
    return value if wanted else None


def call(url: str, *calls: tuple[str, list[Any]]) -> list[Any]:
    """The results of JSON-RPC methods with their parameters, in order; None for each that gives none.

    Args:
        calls: at most 50.
    """
    requests = [
        {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        for number, (method, params) in enumerate(calls)
    ]
    _, answers = _exchange(url, "POST", "/rpc", json.dumps(requests).encode())
    found = {item.get("id"): item.get("result") for item in answers} if isinstance(answers, list) else {}
    return [found.get(number) for number in range(len(calls))]


def _exchange(url: str, method: str, path: str, body: bytes | None = None) -> tuple[int, Any]:
    """The status and the JSON of an answer; (0, None): there is none, or it is not JSON.

    By http.client: this process lives as long as the node, and urllib3 takes 7 MB.
    """
    connection = HTTPConnection(url.removeprefix("http://"), timeout=_REQUEST_TIMEOUT)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    except (OSError, HTTPException, ValueError):
        return 0, None
    finally:
        connection.close()


def forget_workers(redis_url: str) -> None:
    """Drop the registrations of workers that were killed in the last run. No worker of this run has started yet."""
    from services.connections.servers import connect_for_requests

    with connect_for_requests(redis_url) as connection:
        connection.delete(*_WORKER_REGISTRY)
