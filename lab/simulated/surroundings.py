"""What is different for the code under test in a simulation, besides its ports."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, MutableMapping
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from unittest import mock

import structlog

from services.peers.client import PeerClient
from shared import keys, proof
from shared.rules import standard

if TYPE_CHECKING:
    from lab.simulated.network import Network

PAGE = 4


@lru_cache(maxsize=100_000)
def _verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    return _REAL_VERIFY(public_key, message, signature)


_REAL_VERIFY = keys.verify
_REAL_HASH = proof.proof_hash


@contextmanager
def easy_hashes(ease: int) -> Iterator[None]:
    """Divide the hashes of proofs by `ease`: each is as rare as it must be, and is found with fewer attempts.

    Hashes stay uniform, so all rules apply to them as they do outside.
    """

    def proof_hash(seal: bytes, number: int) -> bytes:
        return (int.from_bytes(_REAL_HASH(seal, number), "big") // ease).to_bytes(32, "big")

    with mock.patch.object(proof, "proof_hash", proof_hash), mock.patch.object(standard, "proof_hash", proof_hash):
        yield


@contextmanager
def surroundings(network: Network) -> Iterator[None]:
    """No logs, a cache for pure and slow functions, the exception behind a 500, and what the network asks for."""

    def keep_bug(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        if event.get("event") == "bug":
            network.last_bug = traceback.format_exc()
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(processors=[keep_bug], cache_logger_on_first_use=False)
    with ExitStack() as stack:
        stack.callback(lambda: structlog.configure(**before))
        stack.enter_context(mock.patch.object(keys, "verify", _verify))
        if network.short_pages:
            # Chains are short here, so pages and locators are too: the interesting cases lie between two pages and
            # below the fork point.
            stack.enter_context(mock.patch("services.store.blocks.DENSE", 2))
            stack.enter_context(mock.patch.object(PeerClient.headers, "__defaults__", (PAGE,)))
            stack.enter_context(mock.patch("services.peers.header_chain.PAGE_LIMIT", PAGE))
            stack.enter_context(mock.patch("services.peers.resolver.BODIES", 2))
        if network.ease > 1:
            stack.enter_context(easy_hashes(network.ease))
        yield
