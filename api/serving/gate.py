"""The gate between the server and the application: it receives bodies and sends answers, both within the budget.

A body is received whole before the application sees the request, so a slow sender never holds up a view, and a view
never sees half a body. A large answer is sent in small pieces, which bounds what a slow reader can hold.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from io import BytesIO
from typing import Any

from werkzeug.wrappers import Response

from api.errors import problem
from api.serving import budget as budgets
from api.serving.budget import LARGE, PATIENCE, Budget, Kind, LargeAnswer
from api.serving.connections import Deadlines
from api.serving.runner import PROTOCOL, WsgiApp
from services.errors import Busy

# Bytes. Granian keeps up to four pieces of an answer besides its own buffer, whether or not the client reads.
PIECE = 32_768
_BODY = Kind.BODY
_ONE_AT_A_TIME = "Another request with a large body is being answered; try again."
# Statuses of answers without a body.
_BODILESS = frozenset({"100", "101", "102", "103", "204", "304"})
# Bytes counted for an answer of unknown length: for a block of 1 MiB, the buffer that it was read into, the pieces.
STREAMED = 4 * 2**20
# Key in the WSGI environment: the body has been received, whole and not too large.
RECEIVED = "quarry.received"
# Key in the WSGI environment: the body is longer than other requests may have.
LARGE_BODY = "quarry.large_body"
MAX_LARGE_BODY = 64 * 2**20  # bytes


class Gate:
    """A WSGI middleware, in front of all others."""

    def __init__(
        self,
        inner: WsgiApp,
        budget: Budget,
        deadlines: Deadlines,
        max_body: int,
        takes_large: Callable[[dict[str, Any]], bool] = lambda environ: False,
    ) -> None:
        """
        Args:
            max_body: bytes. A longer body is not read, and the application refuses it.
            takes_large: whether a request, by its head, may have a body of MAX_LARGE_BODY bytes. One at a time is
                received and answered.
        """
        self._inner = inner
        self._budget = budget
        self._deadlines = deadlines
        self._max_body = max_body
        self._digits = len(str(max_body))
        self._takes_large = takes_large
        self._one = threading.Lock()  # held while a large body is in memory

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        length = environ.get("CONTENT_LENGTH") or ""
        if len(length) < self._digits or not self._is_large(environ, length):
            return self._answer(environ, start_response)
        if not self._one.acquire(blocking=False):
            busy = Busy("too_many_bodies", _ONE_AT_A_TIME)
            return _refuse(problem(503, busy.code, busy.message), start_response)
        environ[LARGE_BODY] = True
        try:
            return self._answer(environ, start_response)
        finally:
            self._one.release()

    def _is_large(self, environ: dict[str, Any], length: str) -> bool:
        if not (length.isascii() and length.isdigit() and len(length) < 12) or "HTTP_TRANSFER_ENCODING" in environ:
            return False
        return self._max_body < int(length) <= MAX_LARGE_BODY and self._takes_large(environ)

    def _answer(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        length = environ.get("CONTENT_LENGTH")
        if length and length != "0":
            refused = self._receive(environ, length)
            if refused is not None:
                return _refuse(refused, start_response)
        budgets.begin(self._budget)
        status: str = ""
        headers: list[tuple[str, str]] = []

        def hold(given: str, fields: list[tuple[str, str]], _: Any = None) -> None:
            nonlocal status, headers
            status, headers = given, fields

        try:
            result = self._inner(environ, hold)
            if environ.get("REQUEST_METHOD") == "HEAD" or status[:3] in _BODILESS:
                _close(result)
                result = []
            elif not isinstance(result, list):
                result = _known(result, headers)
        except BaseException:
            self._give_back()
            raise
        answer = budgets.take_answer()
        if answer is None and isinstance(result, list) and sum(map(len, result)) <= LARGE:
            start_response(status, headers)
            return result
        if _is_stream_of_events(headers):
            start_response(status, headers)
            return result
        answer = answer or LargeAnswer(self._budget)
        is_done = isinstance(result, list) and environ.get("REQUEST_METHOD") not in ("GET", "HEAD")
        return self._send(start_response, status, headers, result, answer, is_done=is_done)

    def _receive(self, environ: dict[str, Any], text: str) -> Response | None:
        """Receive the body and put it in the place of the stream. Returns a refusal if the body cannot be received."""
        if not (text.isascii() and text.isdigit() and len(text) < 12):
            return problem(400, "bad_length", "Content-Length must be a whole number.")
        length = int(text)
        if (length > self._max_body and LARGE_BODY not in environ) or "HTTP_TRANSFER_ENCODING" in environ:
            return None
        connection = environ.get(PROTOCOL)
        address: str = environ.get("REMOTE_ADDR", "")
        try:
            self._budget.take(_BODY, PATIENCE, 0, lambda: self._deadlines.held_by(address))
        except Busy as error:
            return problem(503, error.code, error.message)
        # Without context managers, which took a tenth of the time of a request.
        arriving = self._deadlines.arriving
        if connection is not None:
            arriving[connection] = time.monotonic(), length, address
        try:
            data = environ["wsgi.input"].read(length)
        finally:
            arriving.pop(connection, None)
            self._budget.give_back(_BODY)
        if len(data) < length:
            return problem(400, "incomplete_body", "The body is shorter than its Content-Length.")
        environ["wsgi.input"], environ[RECEIVED] = BytesIO(data), True
        return None

    def _send(
        self,
        start_response: Any,
        status: str,
        headers: list[tuple[str, str]],
        result: Iterable[bytes],
        answer: LargeAnswer,
        *,
        is_done: bool,
    ) -> Iterable[bytes]:
        """Send a large answer, or one of unknown length, in pieces. Refuse it if too many are being sent.

        Args:
            is_done: the request may have changed something, so it must not be refused with "try again".
        """
        try:
            answer.settle(sum(map(len, result)) if isinstance(result, list) else STREAMED)
        except Busy as error:
            if not is_done:
                answer.close()
                _close(result)
                return _refuse(problem(503, error.code, error.message), start_response)
        start_response(status, headers)
        return _Pieces(result, answer)

    @staticmethod
    def _give_back() -> None:
        answer = budgets.take_answer()
        if answer is not None:
            answer.close()


class _Pieces:
    """An answer in pieces, which gives its place back when it is closed."""

    def __init__(self, result: Iterable[bytes], answer: LargeAnswer) -> None:
        self._result = result
        self._answer = answer
        self._pieces = self._cut()

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces

    def _cut(self) -> Iterator[bytes]:
        try:
            for part in self._result:
                if len(part) <= PIECE:
                    yield part
                else:
                    for start in range(0, len(part), PIECE):
                        yield part[start : start + PIECE]
        finally:
            self._answer.close()

    def close(self) -> None:
        self._pieces.close()  # type: ignore[attr-defined] # a generator's
        _close(self._result)
        self._answer.close()  # needed if the generator never started: then its `finally` does not run


def _refuse(refusal: Response, start_response: Any) -> list[bytes]:
    start_response(refusal.status, list(refusal.headers))
    return [refusal.get_data()]


def _known(result: Iterable[bytes], headers: list[tuple[str, str]]) -> Iterable[bytes]:
    """Join an answer that has a Content-Length: its thread is free as soon as the server has it."""
    if not any(name.lower() == "content-length" for name, _ in headers):
        return result
    try:
        return [b"".join(result)]
    finally:
        _close(result)


def _is_stream_of_events(headers: list[tuple[str, str]]) -> bool:
    return any(name.lower() == "content-type" and value.startswith("text/event-stream") for name, value in headers)


def _close(result: Iterable[bytes]) -> None:
    close = getattr(result, "close", None)
    if close is not None:
        close()
