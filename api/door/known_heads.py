"""Heads of miners' requests that were read before.

A miner sends the same header fields with each request, apart from a few different lengths of its body. Where all bytes
of the fields are those of a request that was parsed, checked and served, they mean the same again.
"""

import re
from typing import Final

from api.door.requests import Received

# Heads that are remembered, and bytes of a request whose head is.
MOST: Final = 4_096
LARGEST: Final = 1_024
_LINE = re.compile(rb"POST (/leases(?:/[0-9a-f]{32})?(?:\?wait=[0-9]{1,2})?) HTTP/1\.1")


class KnownHeads:
    """The heads that the door remembers."""

    def __init__(self) -> None:
        # By the bytes after the first line, up to the empty line: the header fields, and the length of the body.
        self._known: dict[bytes, tuple[dict[bytes, bytes], int]] = {}

    def learn(self, data: bytes, request: Received) -> None:
        """Remember the head of a miner's request that was parsed and answered, if it may come again.

        Args:
            data: what arrived; nothing is remembered unless it is this request and no more.
        """
        line, _, rest = data.partition(b"\r\n")
        fields, _, body = rest.partition(b"\r\n\r\n")
        if (
            len(data) <= LARGEST
            and body == request.body
            and request.keep
            and _LINE.fullmatch(line)
            and request.fields.keys().isdisjoint((b"expect", b"upgrade"))
        ):
            if len(self._known) >= MOST:
                self._known.clear()
            self._known[fields] = request.fields, len(body)

    def read(self, data: bytes) -> Received | None:
        """The request, if `data` is exactly one whose head is known."""
        line, _, rest = data.partition(b"\r\n")
        fields, _, body = rest.partition(b"\r\n\r\n")
        known = self._known.get(fields)
        found = _LINE.fullmatch(line) if known is not None and len(body) == known[1] else None
        if known is None or found is None:
            return None
        request = Received()
        request.method, request.path, request.fields = b"POST", found[1], known[0]
        request.body += body
        return request
