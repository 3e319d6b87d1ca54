"""Recordings for tests: small networks that fork and heal, drawn from a seed."""

import io
import random
from hashlib import sha256

from lab.blocktree import BlockTree
from lab.interface import LabBlock
from lab.recording import VERSION, Event, Recorder, read_recording
from lab.verdicts import Verdict
from shared.forkchoice import TipClaim, is_better


def text_of_recording(*, nodes: int = 4, blocks: int = 30, seed: int = 1, parted: bool = True) -> str:
    """The lines of a recording in which nodes find blocks, partly in two groups, and adopt the better tip."""
    choose = random.Random(seed)
    out = io.StringIO()
    recorder = Recorder(out)
    recorder.note(
        0.0, "begin", recording=VERSION, scenario="partition", world="simulated", seed=seed, nodes=nodes, spec={},
        parameters={},
    )  # fmt: skip
    time = 0.0
    tree = BlockTree(recorder, lambda: time)
    genesis = LabBlock(_hash("genesis"), "0" * 64, 1, 0, None, 0.0, 0.0)
    tree.add(genesis)
    tips = dict.fromkeys(range(1, nodes + 1), genesis)
    sides = dict.fromkeys(tips, 0)
    for node in tips:
        tree.note("node", node=node, state="running")
        tree.heard(node, genesis.hash)
        tree.moved(node, genesis.hash)
    for number in range(blocks):
        time += choose.expovariate(1.0)
        if parted and number in (blocks // 3, 2 * blocks // 3):
            apart = number == blocks // 3
            sides = {node: int(apart and node > nodes // 2) for node in tips}
            groups = [[node for node in tips if sides[node] == side] for side in (0, 1)]
            tree.note("groups", groups=[group for group in groups if group])
            tree.note("said", text="The network falls apart." if apart else "The network heals.")
        finder = choose.choice(list(tips))
        # Now and then a node has not heard of the tip yet, so a sibling of it is found.
        above = tips[finder]
        if choose.random() < 0.1 and above.height > 1:
            above = tree.block(above.parent) or above
        block = LabBlock(
            _hash(f"{seed} {number}"), above.hash, above.height + 1, above.chainwork + 100, finder, time, time
        )
        tree.add(block)
        for node in tips:
            if sides[node] == sides[finder]:
                tree.heard(node, block.hash)
        best = {side: _best([tips[node] for node in tips if sides[node] == side] + [block] * (side == sides[finder]))
                for side in set(sides.values())}  # fmt: skip
        for node in tips:
            tips[node] = best[sides[node]]
            tree.moved(node, tips[node].hash)
    tree.note("verdict", **Verdict("all nodes have one tip after healing", held=True).to_object())
    recorder.end()
    return out.getvalue()


def recorded(**options: int | bool) -> list[Event]:
    """The events of such a recording."""
    return read_recording(text_of_recording(**options).splitlines(keepends=True))  # type: ignore[arg-type]


def _best(blocks: list[LabBlock]) -> LabBlock:
    best = blocks[0]
    for block in blocks[1:]:
        if is_better(TipClaim(block.chainwork, block.hash), TipClaim(best.chainwork, best.hash)):
            best = block
    return best


def _hash(text: str) -> str:
    return sha256(text.encode()).hexdigest()
