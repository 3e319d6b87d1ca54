"""A real node leaves the last blocks of its chain, as a developer's node does on demand."""

from api.cli.group import Failure
from lab.real.node import RealNode


def go_back(node: RealNode, depth: int) -> None:
    """Take the last blocks off a node's chain. Their transactions leave as well.

    A node goes back only while it has no peers, so it forgets them and gets them again, all in some tenths of a second.
    If the node dies meanwhile, it has them again at its next start, from its settings.

    Raises:
        LabError: the node does not answer.
        Failure: it refuses.
    """
    client = node.client()
    peers = [peer["url"] for peer in node.peers() if peer["state"] != "candidate"]
    try:
        if peers:
            client.delete("/nodes", {"nodes": peers})
        request = {"jsonrpc": "2.0", "id": 1, "method": "anvil_rollback", "params": [depth]}
        answer = client.post("/rpc", request)
        if not isinstance(answer, dict) or answer.get("error") is not None:
            raise Failure(f"The node does not go back: {answer!r:.200}")
    finally:
        if peers:
            client.post("/nodes/register", {"nodes": peers})
