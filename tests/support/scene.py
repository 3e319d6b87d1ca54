"""For tests of the explorer: hostile text, and a chain with a fork."""

from services.node import Node
from shared.block import Block
from tests.support.keys import BOB
from tests.support.nodes import grow

# A tag, an override of the direction, characters of no width, an isolate, a byte order mark, a letter that is blank.
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)> \u202egnp.exe \u200bzero\u2066\u2069\ufeff\u3164"


def reorganise(node: Node, rival: Node, fork: int, length: int) -> list[Block]:
    """Give `node` a branch of `length` blocks that leaves its chain after height `fork`, as a peer would.

    Args:
        rival: another node of the same chain spec, at genesis; the branch is grown there.
    """
    for text in node.chain.stream(2, fork):
        rival.acceptor.accept(rival.rules.read_block(_parse(node, text)))
    blocks = [grow(rival, recipient=BOB.address) for _ in range(length)]
    branch = node.reorganiser.begin(fork)
    for block in blocks:
        node.reorganiser.add(branch, block)
    node.reorganiser.swap(branch)
    return blocks


def _parse(node: Node, text: bytes) -> object:
    from shared import wire

    return wire.parse(text, floats=node.rules.floats)
