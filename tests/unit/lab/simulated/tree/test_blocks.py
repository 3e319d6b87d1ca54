"""Branches and difficulties of the tree."""

from lab.simulated.tree.blocks import Block, branch, common_ancestor, genesis
from shared.difficulty import WINDOW, next_difficulty
from shared.rules.standard import StandardRules
from tests.unit.lab.simulated.tree.spec import SPEC, make_spec


def child(parent: Block, hash: str, *, seconds: int = 1, difficulty: int = 1000, finder: int = 0) -> Block:
    return Block(
        hash,
        parent,
        difficulty,
        height=parent.height + 1,
        chainwork=parent.claim.chainwork + difficulty,
        finder=finder,
        found_at=0.0,
        timestamp=parent.timestamp + seconds,
        published=True,
    )


def test_the_first_block_is_the_real_one() -> None:
    assert genesis(SPEC).hash == StandardRules(SPEC).genesis().hash
    assert (genesis(SPEC).height, genesis(SPEC).claim.chainwork) == (1, 0)


def test_branches() -> None:
    #   g - a - b - c
    #        \- x
    g = genesis(SPEC)
    a = child(g, "a")
    b = child(a, "b")
    c, x = child(b, "c"), child(a, "x")
    assert common_ancestor(c, x) is common_ancestor(x, c) is a
    assert common_ancestor(c, b) is b
    assert branch(a, c) == [b, c] and branch(a, a) == []
    assert list(x.ancestors()) == [x, a, g]


def test_what_a_strategy_sees_of_it() -> None:
    block = child(genesis(SPEC), "a", finder=1)
    assert block.known(1).mine and not block.known(0).mine
    assert block.known(0).parent == genesis(SPEC).hash


def test_the_difficulty_is_that_of_the_rule_over_the_last_headers() -> None:
    spec = make_spec(block_interval=10)
    blocks = [genesis(spec)]
    for number in range(100):
        blocks.append(child(blocks[-1], f"{number}", seconds=number % 23, difficulty=blocks[-1].next_difficulty(spec)))
    assert len(blocks[-1].window()) == WINDOW
    fresh = [child(blocks[-2], "z", seconds=99 % 23, difficulty=blocks[-1].difficulty)]
    assert [header.index for header in fresh[0].window()] == list(range(101 - WINDOW + 1, 102))
    assert blocks[-1].next_difficulty(spec) == next_difficulty(blocks[-1].window(), spec) != 1000
