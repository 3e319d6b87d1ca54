"""A real node leaves the last blocks of its chain, as a developer's node does on demand."""

from lab.real.node import RealNode


def go_back(node: RealNode, depth: int) -> None:
    """Take the last blocks off a node's chain. Their transactions leave as well.

    A node goes back only while it has no peers, so it forgets them and gets them again, all in some tenths of a second.
    If the node dies meanwhile, it has them again at its next start, from its settings.

    Raises:
        LabError: the node does not answer, or refuses.
        Failure: it does not change its peers.
    """
    client = node.client()
    peers = [peer["url"] for peer in node.peers() if peer["state"] != "candidate"]
    try:
        if peers:
            client.delete("/nodes", {"nodes": peers})
        node.control("anvil_rollback", depth)
    finally:
        if peers:
            client.post("/nodes/register", {"nodes": peers})
