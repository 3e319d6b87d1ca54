"""Methods about events, and filters that remember how far a client has polled."""

from typing import Any

from api.rpc.errors import REFUSED, RpcError, invalid_params
from api.rpc.method_table import method
from api.rpc.quantity import read_address, read_data, read_quantity
from api.rpc.representations import LOG_BYTES, represent_log
from api.rpc.tags import find_by_hash, first_within, read_height
from api.serving.budget import reserve
from services.chain.changes import changes_since
from services.node import Node
from services.store.filters import Filter
from services.store.records import StoredHeader
from services.token.logs import MAX_LOGS, FoundLog, LogCriteria, Topics

_MAX_ALTERNATIVES = 1000
# Bytes of memory for each event while it is searched.
_FOUND_BYTES = 1_200
# The most transactions and blocks that one poll of a filter returns.
_MAX_PENDING = 1000
_MAX_BLOCKS = 1000
_NO_END = 2**256
# The criteria of a filter that are stored, and the most characters of them: they stay in the store while it is polled.
_CRITERIA = ("fromBlock", "toBlock", "address", "topics")
_MAX_CRITERIA = 16_384


@method("eth_getLogs", 1)
def get_logs(node: Node, request: Any) -> list[dict[str, Any]]:
    if isinstance(request, dict) and request.get("blockHash") is not None:
        if request.get("fromBlock") is not None or request.get("toBlock") is not None:
            raise invalid_params("blockHash goes with neither fromBlock nor toBlock")
        stored = find_by_hash(node, request["blockHash"])
        if stored is None:
            raise RpcError(REFUSED, "unknown block")
        return _objects(node.logs.in_block(stored, _criteria(request, 0, _NO_END)))
    return _objects(node.logs.find(_ranged(node, request), lambda more: reserve(_FOUND_BYTES * more)))


@method("eth_newFilter", 1)
def new_filter(node: Node, request: Any) -> str:
    if isinstance(request, dict) and request.get("blockHash") is not None:
        raise invalid_params("a filter watches a range of blocks, not one")
    _ranged(node, request)  # refuses bad criteria now, not at the first poll
    criteria = {name: request[name] for name in _CRITERIA if request.get(name) is not None}
    if len(str(criteria)) > _MAX_CRITERIA:
        raise invalid_params("a filter's criteria are too long")
    return _add(node, "logs", criteria)


@method("eth_newBlockFilter")
def new_block_filter(node: Node) -> str:
    return _add(node, "blocks", {})


@method("eth_newPendingTransactionFilter", 0, 1)
def new_pending_filter(node: Node, whole: Any = False) -> str:
    if whole:
        raise invalid_params("this filter returns hashes; ask for each transaction with eth_getTransactionByHash")
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
        ids, event = node.mining.events.transactions_since(current.event, _MAX_PENDING)
        _advance(node, filter_id, current, current.height, current.hash, event)
        return [f"0x{item}" for item in ids]
    detached, attached, last = _changes(node, current)
    changes: list[Any]
    if current.kind == "blocks":
        changes = [f"0x{stored.header.hash}" for stored in attached]
    else:
        changes = _logs_of(node, detached, attached, _watched(node, current.criteria))
    # Last: a client asks again if the node has no room for the answer.
    _advance(node, filter_id, current, last.header.index, last.header.hash, current.event)
    return changes


def _logs_of(
    node: Node, detached: list[StoredHeader], attached: list[StoredHeader], criteria: LogCriteria
) -> list[dict[str, Any]]:
    removed = [found for stored in detached for found in _in(node, stored, criteria)]
    new = [found for stored in attached for found in _in(node, stored, criteria)]
    return [*_objects(removed, removed=True), *_objects(new)]


def _in(node: Node, stored: StoredHeader, criteria: LogCriteria) -> list[FoundLog]:
    within = criteria.first <= stored.header.index <= criteria.last
    return node.logs.in_block(stored, criteria) if within else []


def _watched(node: Node, request: dict[str, Any]) -> LogCriteria:
    """A filter's criteria for new blocks. `latest` and similar tags set no bound: any new block is the latest."""

    def bound(name: str, otherwise: int) -> int:
        height = read_height(node, request.get(name))
        return otherwise if height is None else height

    return _criteria(request, bound("fromBlock", 0), bound("toBlock", _NO_END))


def _changes(node: Node, current: Filter) -> tuple[list[StoredHeader], list[StoredHeader], StoredHeader]:
    """Since a filter was polled: detached blocks (newest first), attached blocks (oldest first), and the last block.

    After a long pause, these are as many as one answer may hold; the next poll goes on from the last block.
    """
    found = changes_since(node.chain, current.hash, _MAX_BLOCKS)
    if found is None:
        raise RpcError(REFUSED, "filter not found")  # its block was deleted, so the client has to begin again
    attached = first_within(MAX_LOGS // 2, found.attached)  # each transaction has an event, and its fee may have one
    return found.detached, attached, attached[-1] if attached else found.last


def subscribed(request: Any) -> LogCriteria:
    """The criteria of a subscription, which has no range of blocks: it is about new ones.

    Raises:
        RpcError: they cannot be used, or are too long to be kept.
    """
    if not isinstance(request, dict):
        raise invalid_params("a filter is an object")
    kept = {name: request[name] for name in _CRITERIA if request.get(name) is not None}
    if len(str(kept)) > _MAX_CRITERIA:
        raise invalid_params("a subscription's criteria are too long")
    return _criteria(request, 0, _NO_END)


def _add(node: Node, kind: Any, criteria: dict[str, Any]) -> str:
    tip = node.chain.tip()
    filter_id = node.randomness.token()
    new = Filter(kind, criteria, tip.height, tip.hash, node.mining.events.last())
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
    first = read_height(node, request.get("fromBlock"))
    return node.chain.tip().height if first is None else first


def _last(node: Node, request: dict[str, Any]) -> int:
    end, first = read_height(node, request.get("toBlock")), _first(node, request)
    return max(node.chain.tip().height, first) if end is None else end


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


def _objects(found: list[FoundLog], *, removed: bool = False) -> list[dict[str, Any]]:
    reserve(LOG_BYTES * len(found))
    return [represent_log(item.event, item.stored, removed=removed) for item in found]
