"""One client's connection to a node."""

import http.client
import json
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

_MOST = 4_000_000  # bytes of an answer that are read


class Door:
    """One client's connection to a node. It is opened again when it breaks; the caller closes it."""

    def __init__(self, port: int, timeout: float = 6.0) -> None:
        self._port = port
        self._timeout = timeout
        self._connection: http.client.HTTPConnection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def ask(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        """Status and JSON (or bytes); (0, None) if no answer came."""
        if self._connection is None:
            self._connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=self._timeout)
        data = json.dumps(body) if body is not None else None
        sent = {**(headers or {}), **({"Content-Type": "application/json"} if body is not None else {})}
        try:
            self._connection.request(method, path, data, sent)
            with self._connection.getresponse() as response:  # it may hold the socket, and is closed
                answer = response.read(_MOST)
                if not response.isclosed():
                    self.close()
        except (OSError, http.client.HTTPException):
            self.close()
            return 0, None
        try:
            return response.status, json.loads(answer)
        except ValueError:
            return response.status, answer

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
