"""Leases over HTTP, as docs/mining.md describes them. Answers may be anything: the node need not be ours."""

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final

import urllib3

from shared import wire
from shared.errors import InputError, NodeError
from shared.proof import MAX_PROOF
from worker.miner.board import Board
from worker.miner.ways import Ways

_MOST_BYTES: Final = 65_536  # of one answer
_CONNECT_SECONDS: Final = 5.0
_READ_SECONDS: Final = 10.0
# Refusals that another try does not change.
_FATAL: Final = frozenset({400, 401, 403, 404, 405, 413, 415, 422})


class Away(NodeError):
    """The node does not answer, or not now."""


class _Silent(Away):
    """No answer came at all."""


class Refused(NodeError):
    """The node refuses a request, and would refuse it again."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Leased:
    """A lease."""

    id: str
    round: str
    height: int
    tip: str
    seal: bytes
    difficulty: int
    share_difficulty: int
    proofs: range


@dataclass(frozen=True, slots=True)
class Answer:
    """What a report has brought."""

    accepted: int
    rejected: int
    credited: int
    sealed: str | None
    is_stale: bool


class LeaseDoor:
    """The leases of one node. Methods may be called from any thread.

    Args:
        url: the node's, with the path that its API is under, if any.
        board: says whether the node's `quarry rpc` is asked instead; None: it is not.
    """

    def __init__(self, url: str, voucher: str, name: str, address: str | None, board: Board | None = None) -> None:
        self._ways = Ways(url, board)
        self._asked = {"name": name} | ({"address": address} if address else {})
        self._headers = headers_of(voucher)
        self._pool = urllib3.PoolManager(maxsize=4, retries=False)

    def take(self, rate: int, wait: float) -> Leased | float:
        """A lease for so many hashes per second; or seconds after which to ask again: no round is open.

        Args:
            wait: seconds for which the node may wait for a round.

        Raises:
            Away, Refused.
        """
        found, retry = self._post(f"/leases?wait={wait:g}", {**self._asked, "rate": rate}, wait + _READ_SECONDS)
        if found is None:
            return retry
        try:
            proofs = range(_number(found, "start"), _number(found, "stop"))
            lease = Leased(
                _text(found, "lease"),
                _text(found, "round"),
                _number(found, "height"),
                _text(found, "tip"),
                _text(found, "seal").encode(),
                _number(found, "difficulty"),
                _number(found, "share_difficulty"),
                proofs,
            )
        except ValueError:
            raise Away("The node's answer is not a lease.") from None
        if not proofs or proofs.stop > MAX_PROOF + 1 or lease.share_difficulty < 1 or lease.difficulty < 1:
            raise Away("The node's answer is not a lease.")
        return lease

    def report(self, lease: Leased, shares: Sequence[int], hashes: int) -> Answer:
        """Hand in shares of a lease, and the hashes that were done since the last report.

        Raises:
            Away, Refused.
        """
        found, _ = self._post(f"/leases/{lease.id}", {"shares": list(shares), "hashes": hashes}, _READ_SECONDS)
        try:
            sealed = (found or {})["sealed"]
            if sealed is not None and not isinstance(sealed, str):
                raise ValueError
            return Answer(
                _number(found, "accepted"),
                _number(found, "rejected"),
                _number(found, "credited"),
                sealed,
                (found or {})["stale"] is True,
            )
        except (ValueError, KeyError):
            raise Away("The node's answer is not that of a report.") from None

    def tips(self, silence: float) -> Iterator[tuple[int, str]]:
        """Height and hash of the tip, and of each new one as the node tells it.

        Args:
            silence: seconds without a word after which the node counts as away.

        Raises:
            Away: the stream ended, or the node does not serve it now.
        """
        timeout = urllib3.Timeout(connect=_CONNECT_SECONDS, read=silence)
        url = self._ways.now()
        try:
            response = self._pool.request(
                "GET", f"{url}/leases/news", headers=self._headers, timeout=timeout, preload_content=False,
                redirect=False,
            )  # fmt: skip
            with closing(response):
                if response.status != 200:
                    raise Away(f"The node has no news now (status {response.status}).")
                for tip in _tips(response):
                    yield tip
                    if self._ways.now() != url:
                        raise Away("The node is asked elsewhere now.")
        except urllib3.exceptions.HTTPError as error:
            self._ways.leave(url)
            raise Away(f"The news was interrupted ({type(error).__name__}).") from None
        raise Away("The node ended the news.")

    def close(self) -> None:
        self._pool.clear()

    def _post(self, path: str, body: Any, seconds: float) -> tuple[dict[str, Any] | None, float]:
        while True:
            url = self._ways.now()
            try:
                return self._post_to(url, path, body, seconds)
            except _Silent:
                if not self._ways.leave(url):
                    raise
            except Refused as error:  # without a code it is none of Quarry's; another node has other vouchers
                if error.code not in ("", "unknown_voucher") or not self._ways.leave(url):
                    raise

    def _post_to(self, url: str, path: str, body: Any, seconds: float) -> tuple[dict[str, Any] | None, float]:
        timeout = urllib3.Timeout(connect=_CONNECT_SECONDS, read=seconds)
        try:
            response = self._pool.request(
                "POST", url + path, body=json.dumps(body).encode(), headers=self._headers, timeout=timeout,
                redirect=False, preload_content=False,
            )  # fmt: skip
            text = response.read(_MOST_BYTES)
            response.release_conn()
        except urllib3.exceptions.HTTPError as error:
            raise _Silent(f"The node does not answer ({type(error).__name__}).") from None
        if response.status == 204:
            return None, _retry_after(response.headers.get("Retry-After"))
        found = _object(text)
        if response.status == 200 and found is not None:
            return found, 0.0
        code, detail = (str((found or {}).get(name, "")) for name in ("code", "detail"))
        if response.status in _FATAL:
            raise Refused(code, detail or f"The node refuses (status {response.status}).")
        raise Away(detail or f"The node cannot answer now (status {response.status}).")


def headers_of(voucher: str) -> dict[str, str]:
    """The header fields of a miner's requests."""
    return {"Authorization": f"Bearer {voucher}", "Content-Type": "application/json"}


def _tips(response: Any) -> Iterator[tuple[int, str]]:
    """The tips of a stream of server-sent events."""
    event, rest = "", b""
    while chunk := response.read1(1024, decode_content=True):  # what has arrived; `stream` would wait for 1024 bytes
        rest += chunk
        *lines, rest = rest.split(b"\n")
        if len(rest) > _MOST_BYTES:
            raise Away("The node's news cannot be read.")
        for line in lines:
            name, _, value = line.decode(errors="replace").strip("\r").partition(": ")
            if name == "event":
                event = value
            elif name == "data" and event == "tip":
                found = _object(value.encode()) or {}
                try:
                    yield _number(found, "height"), _text(found, "tip")
                except ValueError:
                    raise Away("The node's news cannot be read.") from None


def _object(text: bytes) -> dict[str, Any] | None:
    try:
        found = wire.parse(text, floats=True)
    except InputError:
        return None
    return found if isinstance(found, dict) else None


def _number(found: Any, name: str) -> int:
    value = (found or {}).get(name)
    if type(value) is not int or value < 0:
        raise ValueError
    return value


def _text(found: dict[str, Any], name: str) -> str:
    value = found.get(name)
    if not isinstance(value, str) or len(value) > 256 or not value.isascii() or not value.isprintable():
        raise ValueError
    return value


def _retry_after(text: str | None) -> float:
    """Seconds of a Retry-After header: from half a second to half a minute."""
    return min(30.0, max(0.5, float(text))) if text is not None and text.isdigit() else 1.0
