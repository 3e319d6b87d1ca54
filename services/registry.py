"""The nodes that a broker's workers serve: what a worker must know of a node, under the node's name, in the broker.

So a worker on any machine needs the broker's URL and nothing else.
"""

import json
from dataclasses import replace
from typing import Any

from services.errors import NotFound
from services.settings.table import Settings
from services.store.broker import node_card, node_names, write_node_card
from services.store.port import Store
from services.system.about import VERSION
from shared.amounts import format_amount, parse_amount
from shared.chain_spec import BadChainSpec, ChainSpec, spec_from_object
from shared.errors import NodeError

# Raised with every change after which a worker of older code would misread a node's card, its rounds or its chain.
PROTOCOL = 2


class Unserved(NodeError):
    """A worker cannot serve a node: its code is of another version, or it is bound to another chain spec."""


def register(broker: Store, settings: Settings) -> None:
    """Make a node known to the broker's workers. Repeating it is harmless."""
    shared_redis = settings.redis_url == settings.broker_url
    card: dict[str, Any] = {
        "protocol": PROTOCOL,
        "version": VERSION,
        # Where chain and broker are one Redis, each worker reaches it by the URL that it has for it.
        "redis_url": "" if shared_redis else settings.redis_url,
        "spec": settings.spec.to_object(),
        "reward_address": settings.reward_address,
        "automine": settings.automine,
        "min_fee": format_amount(settings.min_fee),
        "max_requests": settings.max_requests,
        "max_mempool": settings.max_mempool,
        "nonces_ahead": settings.nonces_ahead,
        "expiry_seconds": settings.expiry_seconds,
        "record_seconds": settings.record_seconds,
        "max_records": settings.max_records,
        "resolve_seconds": settings.resolve_seconds,
        "peers": list(settings.peers),
        "max_peers": settings.max_peers,
        "private_peers": settings.reaches_private_peers,
        "public_url": settings.public_url,
    }
    text = json.dumps(card, sort_keys=True)
    write_node_card(broker, settings.node, text)


def names(broker: Store) -> list[str]:
    """The nodes that have registered."""
    return node_names(broker)


def spec_of(broker: Store, node: str) -> ChainSpec | None:
    """The chain spec that a node has registered with; None where it has not, or with another release."""
    text = node_card(broker, node)
    try:
        return None if text is None else spec_from_object(json.loads(text)["spec"])
    except (ValueError, KeyError, TypeError, BadChainSpec):
        return None


def look_up(broker: Store, node: str, own: Settings) -> Settings:
    """The settings of a node that this worker serves: the node's card over the worker's own settings.

    Raises:
        NotFound: no node of that name has registered.
        Unserved: the node runs code with which this worker's does not go together. The message names both versions.
    """
    text = node_card(broker, node)
    if text is None:
        raise NotFound("No node of that name has registered at this broker.")
    card = json.loads(text)
    protocol, release = card.pop("protocol", None), card.pop("version", "unknown")
    if protocol != PROTOCOL:
        raise Unserved(
            f"This worker (Quarry {VERSION}, protocol {PROTOCOL}) cannot serve the node {node} "
            f"(Quarry {release}, protocol {protocol}): run the same version on both."
        )
    try:
        spec = spec_from_object(card.pop("spec"))
    except BadChainSpec as error:
        raise Unserved(f"This worker cannot read the chain spec of the node {node}: {error}") from None
    card["redis_url"] = card["redis_url"] or own.broker_url
    card["min_fee"] = parse_amount(card["min_fee"])
    card["peers"] = tuple(card["peers"])
    return replace(own, node=node, spec=spec, **card)
