"""The page of the mempool: waiting transactions by fee or by age."""

from itertools import islice
from typing import Any, Literal

from services.node import Node

PAGE = 50
# The last page: each page reads all entries before it.
MAX_PAGES = 40

Order = Literal["fee", "age"]
ORDERS: tuple[Order, ...] = ("fee", "age")


def pool(node: Node, order: Order, page: int) -> dict[str, Any]:
    """The content of the page of the mempool. `page` counts from 1."""
    size, used = node.pool.totals()
    first, last = (page - 1) * PAGE, page * PAGE + 1
    if order == "age":
        entries = node.pool.entries(node.pool.older_than(node.clock.now(), last)[first:])
    else:
        waiting = (entry for entries in node.pool.by_fee(last) for entry in entries)
        entries = list(islice(waiting, first, last))
    return {
        "size": size,
        "bytes": used,
        "order": order,
        "entries": [(entry, entry.fields()) for entry in entries[:PAGE]],
        "page_number": page,
        "more": len(entries) > PAGE and page < MAX_PAGES,
    }
