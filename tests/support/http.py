"""A client for a node's HTTP API: the same calls for the application in this process and for a real server."""

import http.client
import json
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import pytest
from flask import Flask

Json = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """A response with its body."""

    status: int
    headers: Mapping[str, str]  # names in lower case; values of lines with the same name are joined by ", "
    body: bytes

    @property
    def type(self) -> str:
        return self.headers.get("content-type", "")

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def ok(self, status: int = 200) -> Any:
        """The JSON of a response that must have this status."""
        assert (self.status, self.type) == (status, "application/json"), self.body[:500]
        return self.json

    def refused(self, status: int, code: str) -> Json:
        """The problem of a refusal that must have this status and code."""
        assert (self.status, self.type) == (status, "application/problem+json"), (self.status, self.body[:500])
        problem: Json = self.json
        assert (problem["status"], problem["code"], problem["type"]) == (status, code, f"urn:quarry:problem:{code}")
        assert problem["title"] and problem["detail"]
        assert set(problem) <= {"type", "title", "status", "code", "detail", "field"}
        return problem


def joined(lines: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Header lines as a mapping."""
    found: dict[str, str] = {}
    for name, value in lines:
        found[name.lower()] = f"{found[name.lower()]}, {value}" if name.lower() in found else value
    return found


class Door(Protocol):
    """A way to send requests to a node."""

    def call(self, method: str, path: str, body: bytes | None = None, /, **headers: str) -> Answer:
        """One request; `Content_Type` stands for the header Content-Type. `path` is sent as it is."""


class Client:
    """Requests to a node, over a `Door`."""

    def __init__(self, door: Door) -> None:
        self.door = door

    def get(self, path: str, **headers: str) -> Answer:
        return self.door.call("GET", path, None, **headers)

    def post(self, path: str, value: Any = None, **headers: str) -> Answer:
        if value is None:
            return self.door.call("POST", path, None, **headers)
        return self.door.call("POST", path, json.dumps(value).encode(), Content_Type="application/json", **headers)

    def submit(self, transaction: Json) -> str:
        """The id of a transaction that must be admitted."""
        identifier = self.post("/transactions/new", transaction).ok(201)["id"]
        assert isinstance(identifier, str)
        return identifier


class FlaskDoor:
    """The application in this process, through Flask's test client."""

    def __init__(self, app: Flask) -> None:
        self.app = app

    def call(self, method: str, path: str, body: bytes | None = None, /, **headers: str) -> Answer:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        # Werkzeug does not announce the length of an empty body.
        length = {} if body is None else {"CONTENT_LENGTH": str(len(body))}
        with self.app.test_client().open(
            path, method=method, data=body, headers=given, environ_overrides=length
        ) as response:
            return Answer(response.status_code, joined(list(response.headers)), b"".join(response.iter_encoded()))


class SocketDoor:
    """A real server on a port."""

    def __init__(self, port: int, timeout: float = 30.0) -> None:
        self.port = port
        self.timeout = timeout

    def call(self, method: str, path: str, body: bytes | None = None, /, **headers: str) -> Answer:
        with self.open(method, path, body, **headers) as response:
            return Answer(response.status, joined(response.getheaders()), response.read())

    @contextmanager
    def open(
        self, method: str, path: str, body: bytes | None = None, /, **headers: str
    ) -> Iterator[http.client.HTTPResponse]:
        """A response whose body has not been read."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=self.timeout)
        try:
            connection.putrequest(method, path, skip_host="Host" in headers)
            for name, value in headers.items():
                connection.putheader(name.replace("_", "-"), value)
            if body is not None and "Content_Length" not in headers:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            with connection.getresponse() as response:
                yield response
        finally:
            connection.close()

    def raw(self, data: bytes, timeout: float = 10.0) -> socket.socket:
        """A new connection on which `data` has been sent. The caller closes it."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout)
        connection.sendall(data)
        return connection


# --- Requests byte by byte, on the connections of `SocketDoor.raw` ----------------------------------------------------

POST = b"POST /transactions/new HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="asks Linux when a connection last carried data")


def first_line(connection: socket.socket) -> bytes:
    """The status line of the answer, without its end; empty if the connection was closed."""
    return connection.recv(4096).partition(b"\r\n")[0]
