"""Heads of miners' requests that were read before.

A miner sends the same header fields with each request, apart from a few different lengths of its body. Where all bytes
of the fields are those of a request that was parsed, checked and served, they mean the same again.
"""

import re
from typing import Final

from api.door.requests import Received

# Heads that are remembered, and bytes of one, its body included.
MOST: Final = 8_192
LARGEST: Final = 1_024
_LINE = re.compile(rb"POST (/leases(?:/[0-9a-f]{32})?(?:\?wait=[0-9]{1,2})?) HTTP/1\.1")


class Heads:
    """The heads that the door remembers."""

    def __init__(self) -> None:
        self._known: dict[bytes, Received] = {}  # by the bytes after the first line, up to the empty line

    def learn(self, data: bytes, request: Received) -> None:
        """Remember the head of a miner's request that was parsed and found good, if it may come again.

        Args:
            data: the bytes of this request and nothing else.
        """
        line, _, rest = data.partition(b"\r\n")
        fields, _, body = rest.partition(b"\r\n\r\n")
        is_usual = _LINE.fullmatch(line) is not None and request.keep and body == request.body
        if is_usual and len(data) <= LARGEST and b"expect" not in request.fields and b"upgrade" not in request.fields:
            if len(self._known) >= MOST:
                self._known.clear()
            self._known[fields] = request

    def read(self, data: bytes) -> Received | None:
        """The request, if `data` is exactly one whose head is known."""
        line, _, rest = data.partition(b"\r\n")
        fields, _, body = rest.partition(b"\r\n\r\n")
        known = self._known.get(fields)
        if known is None or len(body) != len(known.body):
            return None
        found = _LINE.fullmatch(line)
        if found is None:
            return None
        request = Received()
        request.method, request.path, request.fields = b"POST", found[1], known.fields
        request.body += body
        return request
