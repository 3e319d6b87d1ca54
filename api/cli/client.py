"""The HTTP client of the commands."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import urllib3

from api.cli import terminal
from api.cli.group import Failure, Unreachable
from services.settings.values import BadValue, clean, named
from shared import wire
from shared.chain_spec import ChainSpec, spec_from_object
from shared.errors import InputError
from shared.upgrades import BadUpgrades, read_upgrades

_CONNECT_TIMEOUT = 3.0
_READ_TIMEOUT = 15.0
# Seconds for which a request is repeated while the node's store does not answer, and between two of them. The store of
# a machine whose disk or processors are busy may be late by seconds.
PATIENCE, _REPEAT = 10.0, 0.25
_MAX_BYTES = 2**28  # of one answer
# A block can be a megabyte or more, so each page's limit follows from the size of the page before.
_PAGE_BYTES = 2**22
_MAX_PAGE = 500  # blocks
_TOKEN_REMEDY = (
    " Name a file with the token by --token, or set QUARRY_TOKEN; `quarry up` says where its node keeps the token."
)

T = TypeVar("T")


class Refused(Failure):
    """The node answered with an error.

    Args:
        status: the HTTP status.
        code: of the problem+json, such as `bad_signature`; "" if the answer has none.
        detail: its sentence, without the code; "" likewise.
        location: where the answer sends on, or "".
    """

    def __init__(self, message: str, status: int, code: str, detail: str = "", location: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.detail = detail
        self.location = location

    @property
    def is_of_the_store(self) -> bool:
        """Whether the node's store gave it no answer in time, or refuses to write."""
        return self.code == "store_unavailable"


def once_the_store_answers(
    ask: Callable[[], T], seconds: float = PATIENCE, before_repeat: Callable[[], None] = lambda: None
) -> T:
    """What `ask` returns. It is called again for so many seconds while the node says that its store does not answer.

    The store may have done what it gave no answer to. So `ask` must be safe to repeat: it only reads, or the node takes
    the same request only once.

    Args:
        before_repeat: called each time that `ask` is about to be called again.

    Raises:
        Refused: the node refuses for another reason, or for this one until the end.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            return ask()
        except Refused as error:
            if not error.is_of_the_store or time.monotonic() >= deadline:
                raise
        before_repeat()
        time.sleep(_REPEAT)


class NodeClient:
    """The HTTP API of one node. What it reads is asked for again while the node's store does not answer.

    Args:
        url: http or https, host, and optionally a port and a path that the API is under.
        token: the admin token, sent as Bearer.
        connections: how many are kept open; of so many threads each has its own.
        quiet: do not say on standard error that the store is waited for.
    """

    def __init__(self, url: str, token: str | None = None, *, connections: int = 1, quiet: bool = False) -> None:
        self.url = named("The node's address", node_url, url)
        self._headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"
        self._pool = urllib3.PoolManager(retries=False, maxsize=connections)
        self._says_that_it_waits = not quiet

    def get(self, path: str, *, timeout: float = _READ_TIMEOUT, **query: Any) -> Any:
        """The JSON at `path`.

        Raises:
            Refused: the answer is an error.
            Unreachable: there is no answer within `timeout` seconds.
            Failure: the answer is not JSON, or too large.
        """
        return self.once_the_store_answers(lambda: self._ask("GET", path, query, None, timeout))

    def once_the_store_answers(self, ask: Callable[[], T]) -> T:
        """As the function of this name. The first time that it waits, it says so, unless the client is quiet."""
        return once_the_store_answers(ask, before_repeat=self._say_that_it_waits)

    def get_once(self, path: str) -> Any:
        """As `get`, for who wants to know how the node is now: it is not asked again."""
        return self._ask("GET", path, {}, None, _READ_TIMEOUT)

    def post(self, path: str, body: Any = None, *, timeout: float = _READ_TIMEOUT, **query: Any) -> Any:
        """The JSON answer to a POST of `body`. Raises as `get`."""
        return self._ask("POST", path, query, body, timeout)

    def delete(self, path: str, body: Any = None) -> Any:
        """The JSON answer to a DELETE, with `body` if it is given. Raises as `get`."""
        return self._ask("DELETE", path, {}, body, _READ_TIMEOUT)

    def find(self, path: str) -> Any | None:
        """The JSON at `path`; None if the answer is 404."""
        try:
            return self.get(path)
        except Refused as error:
            if error.status == 404:
                return None
            raise

    def redirected(self, path: str) -> Any:
        """The address to which the node sends on, as text; if it does not, the JSON at `path`. Raises as `get`."""
        try:
            return self.get(path)
        except Refused as error:
            if error.status in (301, 302, 303, 307, 308) and error.location:
                return error.location
            raise

    def spec(self) -> ChainSpec:
        """The node's chain spec."""
        return spec_from_object(self.get("/spec"))

    def rules_spec(self) -> ChainSpec:
        """The node's chain spec with the upgrades that the node has, to judge blocks by.

        Raises:
            Failure: the upgrades cannot be used, or too few sealers have signed them.
        """
        found = self.find("/upgrades")
        try:
            return self.spec() if found is None else read_upgrades(found, self.spec())
        except BadUpgrades as error:
            raise Failure(f"The node's upgrades cannot be used: {error}") from None

    def account(self, address: str) -> dict[str, Any]:
        """An account: its balance, nonce and pending nonce."""
        found: dict[str, Any] = self.get(f"/accounts/{quote(address)}")
        return found

    def kept_from(self) -> int:
        """The height from which on the node has whole blocks; 1: it has all."""
        status = self.get("/status")
        found = status.get("kept_from") if isinstance(status, dict) else None
        return found if type(found) is int and found > 1 else 1

    def blocks(self, first: int = 1, last: int | None = None) -> Iterator[tuple[dict[str, Any], int]]:
        """Blocks as they are hashed, oldest first, each with the length of the chain. They are fetched in pages.

        Args:
            first, last: heights. Without `last`, up to the tip when the last page is fetched.
        """
        limit = 20
        while last is None or first <= last:
            wanted = limit if last is None else min(limit, last - first + 1)
            text = self._page(first, wanted)
            page = _read(text)
            try:
                blocks, length = list(page["chain"]), int(page["length"])
            except (KeyError, TypeError, ValueError):
                raise Failure("The node's answer is not a page of its chain.") from None
            for block in blocks:
                yield block, length
            first += len(blocks)
            if not blocks or (last is None and first > length):
                return
            limit = max(1, min(_MAX_PAGE, limit * _PAGE_BYTES // max(len(text), 1), limit * 4))

    def transaction_until_mined(
        self, identifier: str, seconds: float, tell: Callable[[str], None] = lambda text: None
    ) -> dict[str, Any]:
        """Wait until the transaction is in a block, and return it.

        Args:
            tell: called with a sentence when the transaction waits for other nonces, and when these have changed.

        Raises:
            Failure: it left the mempool, and will not be mined; or it still waits after `seconds`.
        """
        deadline = time.monotonic() + seconds
        told = ""
        while True:
            found: dict[str, Any] = self.get(f"/transactions/{identifier}")
            awaited = found.get("waits_for", "")
            if awaited and awaited != told:
                tell(f"The transaction waits for {awaited}.")
                told = awaited
            if found.get("block"):
                return found
            if found.get("status") not in ("pending", "queued", "waiting"):
                reason = found.get("reason") or found.get("status")
                raise Failure(f"The transaction {identifier} will not be mined: {reason}.")
            if time.monotonic() >= deadline:
                what = f"waits for {awaited}" if awaited else "waits to be mined"
                remedy = "send these first" if awaited else "`quarry mine` mines a block"
                raise Failure(f"The transaction {identifier} still {what} after {seconds:g} s; {remedy}.")
            time.sleep(0.1)

    def _say_that_it_waits(self) -> None:
        if self._says_that_it_waits:
            self._says_that_it_waits = False
            terminal.say(f"The node's store does not answer. Asking again for up to {PATIENCE:g} seconds.")

    def _page(self, first: int, limit: int) -> bytes:
        query = {"from": first, "limit": limit}
        return self.once_the_store_answers(lambda: self._request("GET", "/chain", query, None, _READ_TIMEOUT))

    def _ask(self, method: str, path: str, query: dict[str, Any], body: Any, timeout: float) -> Any:
        return _read(self._request(method, path, query, body, timeout))

    def _request(self, method: str, path: str, query: dict[str, Any], body: Any, timeout: float) -> bytes:
        address = self.url + path + (f"?{urlencode(query)}" if query else "")
        headers = dict(self._headers)
        content = None
        if body is not None:
            content = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        try:
            response = self._pool.request(
                method,
                address,
                body=content,
                headers=headers,
                timeout=urllib3.Timeout(connect=_CONNECT_TIMEOUT, read=timeout),
                redirect=False,
                preload_content=False,
            )
            text: bytes = response.read(_MAX_BYTES + 1)
        except urllib3.exceptions.HTTPError as error:
            raise Unreachable(_unreachable(self.url, error)) from None
        if len(text) > _MAX_BYTES:
            raise Failure(f"The node's answer is larger than {_MAX_BYTES >> 20} MiB.")
        response.release_conn()
        if not 200 <= response.status < 300:
            raise _refused(response.status, text, response.headers.get("Location", ""))
        return text


def node_url(text: str) -> str:
    """A node's address without a slash at the end: http or https, host, and optionally a port and a path.

    Without a scheme it is http.

    Raises:
        BadValue: it is not such an address, or has more parts.
    """
    text = clean(text)
    if text and "://" not in text:
        text = f"http://{text}"
    try:
        parsed = urllib3.util.parse_url(text)
    except (urllib3.exceptions.LocationParseError, ValueError):
        raise BadValue("must look like http://127.0.0.1:5000.") from None
    if parsed.scheme not in ("http", "https") or not parsed.host or parsed.port == 0 or " " in text:
        raise BadValue("must look like http://127.0.0.1:5000.")
    if parsed.auth is not None or parsed.query is not None or parsed.fragment is not None:
        raise BadValue("must have no user, password, query or fragment.")
    return text.rstrip("/")


def _unreachable(url: str, error: Exception) -> str:
    if isinstance(error, urllib3.exceptions.ReadTimeoutError):
        return f"The node at {url} did not answer in time."
    if isinstance(error, urllib3.exceptions.ProtocolError):
        return f"The node at {url} closed the connection in the middle of its answer."
    parts = urllib3.util.parse_url(url)
    port = " (no port was given; a node's is usually 5000)" if parts.scheme == "http" and parts.port is None else ""
    return f"No node answers at {url}{port}; start one with `quarry up`, or name another with --url."


def _refused(status: int, text: bytes, location: str) -> Refused:
    try:
        problem = wire.parse(text, floats=True)
        code, detail = str(problem["code"]), str(problem["detail"])
    except (InputError, KeyError, TypeError):
        return Refused(f"The node answered with HTTP status {status}.", status, "", location=location)
    remedy = _TOKEN_REMEDY if code == "admin_token_required" else ""
    return Refused(f"{detail.rstrip('.')} ({code}).{remedy}", status, code, detail)


def _read(text: bytes) -> Any:
    try:
        return wire.parse(text, floats=True)
    except InputError:
        raise Failure("The node's answer is not JSON.") from None
