"""The application that is attacked: one question over HTTP, whether it credits a payment.

    GET http://127.0.0.1:8000/payments/{id}        200 {"credited": true}

`{id}`, `{address}` and `{amount}` in the URL stand for the payment. The answer is a JSON object with one field that
says whether the application credits it; another field and value can be agreed. 404 means that it does not. An
application may be slow, hostile or broken: an answer is bounded in time and length, and no redirect is followed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote, urlsplit

from lab.interface import LabError
from services.errors import PeerFailed
from services.peers.http import AnswerTooLong, PeerRequest, SystemPeerHttp
from services.settings.hosts import is_loopback, normal_host
from services.settings.values import BadValue
from shared.errors import InputError
from shared.wire import parse

MAX_ANSWER = 65_536  # bytes
MAX_URL = 2_000  # characters
ANSWER_SECONDS = 5.0

State = Literal["credited", "not credited", "nonsense", "no answer"]


@dataclass(frozen=True, slots=True)
class Payment:
    """What the application may be asked about."""

    id: str
    address: str
    amount: str  # coins


class Application:
    """One application.

    Args:
        url: http, on this machine; with `{id}`, `{address}` and `{amount}` where they belong.
        credited: the field that says whether a payment is credited, and its value then: `order.state=paid`.

    Raises:
        LabError: the URL is not of this machine, or something cannot be read.
    """

    def __init__(self, url: str, credited: str = "credited=true") -> None:
        self._base, self._path = _parts(url)
        field, equals, value = credited.partition("=")
        self._names = field.split(".")
        if not equals or not all(self._names):
            raise LabError(f"{credited!r:.60} is no field with a value: write credited=true, or order.state=paid.")
        self._value = _value(value)
        self._http = SystemPeerHttp(private=True)

    def ask(self, payment: Payment) -> State:
        """Whether it credits a payment now."""
        path = self._path
        for name, value in (("id", payment.id), ("address", payment.address), ("amount", payment.amount)):
            path = path.replace(f"{{{name}}}", quote(value, safe=""))
        try:
            status, body = self._http.exchange(PeerRequest(self._base, path, ANSWER_SECONDS, MAX_ANSWER))
        except AnswerTooLong:
            return "nonsense"
        except PeerFailed:
            return "no answer"
        if status == 404:
            return "not credited"
        return self._read(body) if status == 200 else "nonsense"

    def _read(self, body: bytes) -> State:
        try:
            found: Any = parse(body, floats=True)
        except InputError:
            return "nonsense"
        for name in self._names:
            if not isinstance(found, Mapping) or name not in found:
                return "nonsense"
            found = found[name]
        return "credited" if type(found) is type(self._value) and found == self._value else "not credited"


def _parts(url: str) -> tuple[str, str]:
    """The base of a URL of this machine, and its path with query.

    Raises:
        LabError: it is of another machine, or no such URL.
    """
    wrong = f"{url!r:.80} is no address such as http://127.0.0.1:8000/payments/{{id}}."
    if len(url) > MAX_URL or not url.isascii() or not url.isprintable() or " " in url:
        raise LabError(wrong)
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        normal = normal_host(f"[{host}]" if ":" in host else host)
    except (ValueError, BadValue):
        raise LabError(wrong) from None
    if parts.scheme != "http" or not host or "@" in parts.netloc or parts.fragment:
        raise LabError(wrong)
    if not is_loopback(normal):
        raise LabError(f"Only applications on this machine (127.0.0.0/8) are attacked; {host} is not on it.")
    shown = f"[{normal}]" if ":" in normal else normal
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return f"http://{shown}:{80 if port is None else port}", path


def _value(text: str) -> Any:
    """A value as JSON where it is, such as `true` or 3; else as text."""
    try:
        return parse(text.encode(errors="replace"), floats=True)
    except InputError:
        return text
