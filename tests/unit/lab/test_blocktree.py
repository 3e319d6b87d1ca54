"""The tree of all nodes' blocks writes what changes."""

import pytest

from lab.blocktree import BlockTree
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
