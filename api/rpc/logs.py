"""Methods about events, and filters that remember how far a client has looked."""

from typing import Any

from api.rpc.errors import REFUSED, RpcError, invalid_params
from api.rpc.methods import method
from api.rpc.quantity import read_address, read_data, read_quantity
from api.rpc.shapes import log_objects
from api.rpc.tags import find_by_hash, read_height
from services.log_search import FoundLog, LogCriteria, Topics, in_block
from services.node import Node
from services.store.filters import Filter
from services.store.records import StoredHeader

_MAX_ALTERNATIVES = 1000
_MAX_PENDING = 1000


@method("eth_getLogs", 1)
def get_logs(node: Node, request: Any) -> list[dict[str, Any]]:
    if isinstance(request, dict) and "blockHash" in request:
        if "fromBlock" in request or "toBlock" in request:
            raise invalid_params("blockHash goes with neither fromBlock nor toBlock")
        stored = find_by_hash(node, request["blockHash"])
        if stored is None:
            raise RpcError(REFUSED, "unknown block")
        criteria = _criteria(request, stored.header.index, stored.header.index)
        return [_object(found) for found in in_block(node.wallet_blocks.block(stored), criteria)]
    return [_object(found) for found in node.logs.find(_ranged(node, request))]


@method("eth_newFilter", 1)
def new_filter(node: Node, request: Any) -> str:
    _ranged(node, request)  # bad criteria are refused now, not at the first poll
    return _add(node, "logs", request)


@method("eth_newBlockFilter")
def new_block_filter(node: Node) -> str:
    return _add(node, "blocks", {})


@method("eth_newPendingTransactionFilter", 0, 1)
def new_pending_filter(node: Node, whole: Any = False) -> str:
    return _add(node, "pending", {})


@method("eth_uninstallFilter", 1)
def uninstall(node: Node, filter_id: Any) -> bool:
    return node.filters.remove(_id(filter_id))


@method("eth_getFilterLogs", 1)
def filter_logs(node: Node, filter_id: Any) -> list[dict[str, Any]]:
    current = _get(node, filter_id)
    if current.kind != "logs":
        raise RpcError(REFUSED, "filter not found")
    node.filters.save(_id(filter_id), current, node.clock.now())
    return get_logs(node, current.criteria)  # type: ignore[no-any-return] # the decorator hides its type


@method("eth_getFilterChanges", 1)
def filter_changes(node: Node, filter_id: Any) -> list[Any]:
    current = _get(node, filter_id)
    if current.kind == "pending":
        ids, event = node.filters.transactions_since(current.event, _MAX_PENDING)
        _advance(node, filter_id, current, current.height, current.hash, event)
        return [f"0x{item}" for item in ids]
    detached, attached = _changes(node, current)
    last = attached[-1].header if attached else None
    if last is not None:
        _advance(node, filter_id, current, last.index, last.hash, current.event)
    else:
        node.filters.save(_id(filter_id), current, node.clock.now())
    if current.kind == "blocks":
        return [f"0x{stored.header.hash}" for stored in attached]
    # The range was checked when the filter was made; changes are never outside what it asks for.
    criteria = _criteria(current.criteria, _first(node, current.criteria), _last(node, current.criteria))
    removed = [found for stored in detached for found in in_block(node.wallet_blocks.block(stored), criteria)]
    new = [
        found
        for stored in attached
        if criteria.first <= stored.header.index <= criteria.last
        for found in in_block(node.wallet_blocks.block(stored), criteria)
    ]
    return [{**_object(found), "removed": True} for found in removed] + [_object(found) for found in new]


def _changes(node: Node, current: Filter) -> tuple[list[StoredHeader], list[StoredHeader]]:
    """Blocks that left the chain since a filter looked, newest first, and those that came, oldest first."""
    detached: list[StoredHeader] = []
    stored = node.chain.header(current.hash)
    while stored is not None and not node.chain.is_on_chain(stored):
        detached.append(stored)
        stored = node.chain.header(str(stored.header.previous_hash))
    fork = stored.header.index if stored is not None else current.height
    tip = node.chain.tip().height
    return detached, node.chain.headers(fork + 1, min(tip - fork, _MAX_PENDING))


def _add(node: Node, kind: Any, criteria: dict[str, Any]) -> str:
    tip = node.chain.tip()
    filter_id = node.randomness.token()
    new = Filter(kind, criteria, tip.height, tip.hash, node.filters.last_event())
    if not node.filters.add(filter_id, new, node.clock.now()):
        raise RpcError(REFUSED, "too many filters are installed")
    return f"0x{int(filter_id, 16):x}"


def _id(value: Any) -> str:
    return f"{read_quantity(value, 'filter id'):032x}"


def _get(node: Node, filter_id: Any) -> Filter:
    found = node.filters.get(_id(filter_id))
    if found is None:
        raise RpcError(REFUSED, "filter not found")
    return found


def _advance(node: Node, filter_id: Any, current: Filter, height: int, block_hash: str, event: str) -> None:
    node.filters.save(
        _id(filter_id), Filter(current.kind, current.criteria, height, block_hash, event), node.clock.now()
    )


def _ranged(node: Node, request: Any) -> LogCriteria:
    if not isinstance(request, dict):
        raise invalid_params("a filter is an object")
    first, last = _first(node, request), _last(node, request)
    if first > last:
        raise invalid_params("fromBlock is above toBlock")
    return _criteria(request, first, last)


def _first(node: Node, request: dict[str, Any]) -> int:
    return read_height(node, request.get("fromBlock"))


def _last(node: Node, request: dict[str, Any]) -> int:
    tag = request.get("toBlock")
    open_end = tag is None or tag in ("latest", "pending")
    return max(read_height(node, tag), _first(node, request)) if open_end else read_height(node, tag)


def _criteria(request: dict[str, Any], first: int, last: int) -> LogCriteria:
    given = request.get("address")
    items = [] if given is None else given if isinstance(given, list) else [given]
    if len(items) > _MAX_ALTERNATIVES:
        raise invalid_params("too many addresses")
    addresses = frozenset(read_address(item) for item in items) if items else None
    return LogCriteria(first, last, addresses, _topics(request.get("topics")))


def _topics(value: Any) -> Topics:
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > 4:
        raise invalid_params("topics is a list of at most four")
    result: list[frozenset[bytes] | None] = []
    for item in value:
        alternatives = item if isinstance(item, list) else [item]
        if len(alternatives) > _MAX_ALTERNATIVES:
            raise invalid_params("too many topics")
        if item is None or not alternatives or any(alternative is None for alternative in alternatives):
            result.append(None)
        else:
            result.append(frozenset(read_data(alternative, "topic", 32) for alternative in alternatives))
    return tuple(result)


def _object(found: FoundLog) -> dict[str, Any]:
    return log_objects(found.item, found.block)[found.offset]
