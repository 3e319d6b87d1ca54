"""What is different for the code under test in a simulation, besides its ports."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from unittest import mock

import structlog

from services.peers.client import PeerClient
from shared import keys

if TYPE_CHECKING:
    from lab.simulated.network import Network

PAGE = 4


@lru_cache(maxsize=100_000)
def _verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    return _REAL_VERIFY(public_key, message, signature)


_REAL_VERIFY = keys.verify


@contextmanager
def surroundings(world: Network) -> Iterator[None]:
    """No logs, a cache for pure and slow functions, and the exception behind a 500."""

    def keep_bug(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        if event.get("event") == "bug":
            world.last_bug = traceback.format_exc()
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(processors=[keep_bug], cache_logger_on_first_use=False)
    try:
        with (
            mock.patch.object(keys, "verify", _verify),
            # Chains are short here, so pages and locators are too: the interesting cases lie between two pages and
            # below the fork point.
            mock.patch("services.store.blocks.DENSE", 2),
            mock.patch.object(PeerClient.headers, "__defaults__", (PAGE,)),
            mock.patch("services.peers.header_chain.PAGE_LIMIT", PAGE),
            mock.patch("services.peers.resolver.BODIES", 2),
        ):
            yield
    finally:
        structlog.configure(**before)
