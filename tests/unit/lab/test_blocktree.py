"""The tree of all nodes' blocks writes what changes."""

import pytest

from lab.blocktree import BlockTree, rule_of
from lab.interface import LabBlock
from lab.recording import Recorder


def block(name: str, parent: str, height: int) -> LabBlock:
    return LabBlock(name, parent, height, height, 1, 0.0, 0.0)


def test_a_move_names_what_left_and_what_entered_the_chain() -> None:
    recorder = Recorder()
    tree = BlockTree(recorder, lambda: 0.0)
    for each in (block("g", "-", 1), block("a", "g", 2), block("b", "a", 3), block("c", "g", 2), block("d", "c", 3)):
        tree.add(each)
    tree.add(block("d", "c", 3))  # known already
    tree.moved(1, "g")
    tree.moved(1, "b")
    tree.moved(1, "b")
    tree.moved(1, "d")
    tree.moved(1, "c")
    tree.moved(1, "a")
    moves = [(e.fields["detached"], e.fields["attached"]) for e in recorder.events if e.kind == "tip"]
    assert moves == [([], []), ([], ["a", "b"]), (["a", "b"], ["c", "d"]), (["d"], []), (["c"], ["a"])]
    assert [e.fields["hash"] for e in recorder.events if e.kind == "block"] == ["g", "a", "b", "c", "d"]
    tip = tree.tip(1)
    assert tip is not None and tip.hash == "a" and tree.tip(2) is None


def test_hearing_of_a_block_is_noted_once_for_each_node() -> None:
    recorder = Recorder()
    tree = BlockTree(recorder, lambda: 0.0)
    tree.add(block("g", "-", 1))
    for node in (1, 1, 2):
        tree.heard(node, "g")
    assert [e.fields["node"] for e in recorder.events if e.kind == "heard"] == [1, 2]
    assert tree.has_heard(2, "g") and not tree.has_heard(3, "g")


def test_a_block_needs_its_parent() -> None:
    tree = BlockTree(Recorder(), lambda: 0.0)
    tree.add(block("g", "-", 1))
    with pytest.raises(ValueError, match="parent"):
        tree.add(block("x", "nobody", 7))


def test_a_refused_block_is_drawn_once_and_no_node_has_it() -> None:
    recorder = Recorder()
    tree = BlockTree(recorder, lambda: 0.0)
    tree.add(block("g", "-", 1))
    for node in (1, 2, 1):
        tree.refused(node, block("x", "g", 2), "wrong_proof")
    assert [(e.kind, e.fields.get("node")) for e in recorder.events] == [
        ("block", None), ("block", None), ("invalid", 1), ("invalid", 2),
    ]  # fmt: skip
    assert [each.hash for each in tree.blocks()] == ["g"]
    tree.add(block("x", "g", 2))  # another node has it after all
    assert [each.hash for each in tree.blocks()] == ["g", "x"]
    assert sum(e.kind == "block" for e in recorder.events) == 2


def test_the_rule_that_a_node_names() -> None:
    assert rule_of("wrong_proof: The hash is too high.") == "wrong_proof"
    assert rule_of("The peer's headers do not connect to our chain.") == "lie"
    assert rule_of("The peer says: nothing.") == "lie"


def test_how_long_blocks_take_to_other_nodes() -> None:
    time = 0.0
    tree = BlockTree(Recorder(), lambda: time)
    tree.add(block("g", "-", 1))
    assert tree.propagation() is None
    time = 10.0
    tree.add(LabBlock("a", "g", 2, 2, 1, tree.now(), 0.0))
    tree.heard(1, "a")
    assert tree.propagation() is None, "its finder had it at once"
    for moment, node in ((11.0, 2), (13.0, 3), (20.0, 3)):
        time = moment
        tree.heard(node, "a")
    assert tree.propagation() == 2.0
