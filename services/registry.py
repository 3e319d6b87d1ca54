"""The registry of nodes in a broker: for each node a card with the settings that its workers need.

A worker on any machine therefore needs only the broker's URL. Where a node has one login for its store and the broker,
the card holds none, and a worker uses its own: it gets no password that it does not have.
"""

import json
from dataclasses import replace
from typing import Any

from services.errors import NotFound
from services.ports import Store
from services.settings import redis_url
from services.settings.table import TABLE, Settings
from services.store.broker import node_card, node_names, write_node_card
from services.system.about import VERSION
from shared.chain_spec import BadChainSpec, ChainSpec
from shared.errors import NodeError
from shared.upgrades import BadUpgrades, unpacked

# Incremented by every change after which a worker of an older release would misread a node's card, rounds or chain.
PROTOCOL = 7
# How the settings on a card are written and read, by their field names.
_CARRIED = {name: setting.carried for name, setting in TABLE.items() if setting.carried is not None}
# A worker's own values of these may be those of another chain.
_WHICH_CHAIN = ("spec", "redis_url")


class Unserved(NodeError):
    """A worker cannot serve a node: it runs another version, has another chain spec, or cannot read the card."""


def register(broker: Store, settings: Settings) -> None:
    """Make a node known to the broker's workers. Safe to repeat."""
    card: dict[str, Any] = {name: carried.write(getattr(settings, name)) for name, carried in _CARRIED.items()}
    card |= {"protocol": PROTOCOL, "version": VERSION, "private_peers": settings.reaches_private_peers}
    card["signs"] = settings.sealer_key_file is not None
    if settings.redis_url == settings.broker_url:
        card["redis_url"] = ""  # one Redis for both: each worker uses its own URL of the broker
    else:
        store, broker_parts = redis_url.parse(settings.redis_url), redis_url.parse(settings.broker_url)
        # One login for both: each worker uses its own of the broker, which may be one that may do less.
        card["own_login"] = bool(store.password) and store.login == broker_parts.login
        if card["own_login"]:
            card["redis_url"] = redis_url.written(replace(store, user="", password=""))
    text = json.dumps(card, sort_keys=True)
    write_node_card(broker, settings.node, text)


def names(broker: Store) -> list[str]:
    """The nodes that have registered."""
    return node_names(broker)


def spec_of(broker: Store, node: str) -> ChainSpec | None:
    """The chain spec on a node's card; None if the node has no card, or one that this release cannot read."""
    text = node_card(broker, node)
    try:
        return None if text is None else unpacked(json.loads(text)["spec"])
    except (ValueError, KeyError, TypeError, AttributeError, BadChainSpec, BadUpgrades):
        return None


def look_up(broker: Store, node: str, own: Settings) -> Settings:
    """The settings by which a worker serves a node: the node's card, and the worker's own for what is not on it.

    Raises:
        NotFound: no node of that name has registered.
        Unserved: node and worker run incompatible versions, which the message names, or the card is unreadable.
    """
    text = node_card(broker, node)
    if text is None:
        raise NotFound("No node of that name has registered at this broker.")
    card = json.loads(text)
    protocol, release = card.get("protocol"), card.get("version", "unknown")
    if protocol != PROTOCOL:
        raise Unserved(
            f"This worker (Quarry {VERSION}, protocol {PROTOCOL}) cannot serve the node {node} "
            f"(Quarry {release}, protocol {protocol}): run the same version on both."
        )
    try:
        # A card from an older release lacks the settings that were added later: the worker's own apply.
        values = {
            name: carried.read(card[name]) for name, carried in _CARRIED.items() if name in (*card, *_WHICH_CHAIN)
        }
    except (BadChainSpec, BadUpgrades) as error:
        raise Unserved(f"This worker cannot read the chain spec of the node {node}: {error}") from None
    except KeyError as error:
        raise Unserved(f"The card of the node {node} does not have the setting {error.args[0]}.") from None
    values["redis_url"] = values["redis_url"] or own.broker_url
    if card.get("own_login"):
        user, password = redis_url.parse(own.broker_url).login
        values["redis_url"] = redis_url.written(
            replace(redis_url.parse(values["redis_url"]), user=user, password=password)
        )
    return replace(own, node=node, signs_elsewhere=bool(card.get("signs")), **values)
