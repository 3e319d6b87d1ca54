"""Calls of a node's application without a server."""

import io
import sys
from collections.abc import Callable
from typing import Any

from flask import Flask


def call(app: Flask, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
    """Call the application; status and body. Flask's test client takes as long as the views themselves."""
    name, _, query = path.partition("?")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": name,
        "QUERY_STRING": query,
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "80",
        "HTTP_HOST": "127.0.0.1",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body or b""),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    if body is not None:
        environ |= {"CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(body))}
    statuses: list[int] = []

    def start_response(status: str, headers: list[Any], error: Any = None) -> Callable[[bytes], object]:
        statuses.append(int(status[:3]))
        return statuses.append  # type: ignore[return-value] # nothing is written through it

    answer = app.wsgi_app(environ, start_response)
    try:
        return statuses[0], b"".join(answer)
    finally:
        if (close := getattr(answer, "close", None)) is not None:
            close()
