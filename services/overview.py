"""The one query for a node's state, for `/status`, `/metrics` and the explorer."""

from services.node import Node
from services.store.overview import NodeOverview

__all__ = ["NodeOverview", "overview"]


def overview(node: Node) -> NodeOverview:
    """The node's state now, in one round trip to the store, or in two while a round is open.

    Raises:
        NotBegun: the store holds no chain.
        Damaged: the tip cannot be read.
    """
    return node.overviews.read(node.clock.now())
