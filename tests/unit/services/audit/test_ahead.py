"""Replays whose signatures another process checks: the same verdicts, whatever becomes of that process."""

import fcntl
import json
import os
import signal
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from services.audit import ahead as module
from services.audit.ahead import Ahead, read_ahead
from shared import keys
from shared.errors import RuleError
from shared.replay import Replay
from shared.rules import rules_for
from tests.support.chains import Chain, Json, make_spec, sealed
from tests.support.keys import ALICE, BOB


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_cores", lambda: 2)
    monkeypatch.setattr(module, "_BATCH_BLOCKS", 2)


@pytest.fixture(scope="module")
def chain() -> Chain:
    """A sealed chain of 12 blocks, with transactions of both schemes."""
    chain = Chain(make_spec(sealers=[ALICE.address], difficulty=1), ALICE)
    for _ in range(11):
        chain.mine(chain.transfer(ALICE, BOB, "1"), chain.from_wallet(BOB.address))
    return chain


@pytest.fixture
def helped() -> Iterator[Ahead]:
    with Ahead(worth=0) as ahead:
        ahead.start()
        yield ahead
    assert not ahead.has_helper


def replay(chain: Chain, blocks: list[Json], ahead: Ahead) -> Iterator[Replay]:
    """The replay after each block."""
    whole = Replay(rules_for(chain.spec, ahead))
    for value, number in read_ahead([(block, i) for i, block in enumerate(blocks)], whole.rules, ahead):
        block = whole.add(value)
        assert block.index == number + 1
        yield whole


def broken(chain: Chain, position: int, transaction: int | None) -> list[Json]:
    """The chain's blocks; in one, a signature is that of another block, with root and proof right for it."""
    blocks = [json.loads(json.dumps(block)) for block in chain.blocks]
    wrong, other = blocks[position], blocks[position - 1 or 2]  # genesis has none
    if transaction is None:
        wrong["sealer_signature"] = other["sealer_signature"]
        del wrong["proof"]
        blocks[position] = sealed(wrong, 1)
    else:
        wrong["transactions"][transaction]["signature"] = other["transactions"][transaction]["signature"]
        fork = Chain(chain.spec, ALICE)
        for block in blocks[1:position]:
            fork.accept(block)
        blocks[position] = fork.draft(body=wrong["transactions"])
    return blocks


def test_the_verdict_is_that_of_a_replay_alone(chain: Chain, helped: Ahead, monkeypatch: pytest.MonkeyPatch) -> None:
    slow_down(monkeypatch, here=True)
    states = replay(chain, chain.blocks, helped)
    here: list[Any] = []
    monkeypatch.setattr(keys, "verify", lambda *given: here.append(given) or True)
    last = list(states)[-1]
    assert (last.claim, last.accounts) == (chain.replay.claim, chain.replay.accounts)
    assert here == []  # the helper has checked every signature


def slow_down(monkeypatch: pytest.MonkeyPatch, *, here: bool) -> None:
    """Have one of the two be the slower one: the helper, whose answers do not come before they are waited for, or this
    process, which has none but sent batches to judge.
    """
    if here:
        monkeypatch.setattr(module, "_SENT", 100)
        return
    read = Ahead._read
    monkeypatch.setattr(Ahead, "_read", lambda self, seconds: read(self, seconds) if seconds else None)


def test_what_a_helper_that_is_behind_is_not_sent_is_checked_here(
    chain: Chain, helped: Ahead, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow_down(monkeypatch, here=False)
    here: list[bytes] = []
    verify = keys.verify
    monkeypatch.setattr(keys, "verify", lambda key, message, good: here.append(message) or verify(key, message, good))
    last = list(replay(chain, chain.blocks, helped))[-1]
    assert (last.claim, last.accounts) == (chain.replay.claim, chain.replay.accounts)
    # Each block but genesis has two signatures of this scheme; some are checked here, and the others by the helper.
    assert 4 <= len(here) <= 16 and len(set(here)) == len(here)
    assert helped.has_helper and not helped._sent and not helped._waiting and not helped._answers


@pytest.mark.parametrize("helper", ["in step", "behind"])
@pytest.mark.parametrize(
    "transaction, code", [(None, "sealer_signature_invalid"), (1, "bad_signature"), (2, "fields_differ")]
)
def test_a_bad_signature_is_found_in_each_block(
    chain: Chain, helped: Ahead, monkeypatch: pytest.MonkeyPatch, helper: str, transaction: int | None, code: str
) -> None:
    slow_down(monkeypatch, here=helper == "in step")
    for position in range(1, 12):
        reached, blocks = 0, broken(chain, position, transaction)
        with pytest.raises(RuleError) as caught:
            for state in replay(chain, blocks, helped):
                assert state.tip is not None
                reached = state.tip.index
        assert (reached, caught.value.code) == (position, code)
    assert helped.has_helper


def test_what_is_no_block_is_refused_in_its_turn(chain: Chain, helped: Ahead) -> None:
    blocks: list[Any] = [*chain.blocks[:5], {"index": 6}, *chain.blocks[6:]]
    seen = 0
    with pytest.raises(RuleError) as caught:
        for _ in replay(chain, blocks, helped):
            seen += 1
    assert (seen, caught.value.code) == (5, "bad_block_fields")


@pytest.mark.parametrize("helper", ["in step", "behind"])
@pytest.mark.parametrize("seal", [4, 5, 6, 7])
def test_the_first_fault_is_the_one_that_is_named(
    chain: Chain, helped: Ahead, monkeypatch: pytest.MonkeyPatch, seal: int, helper: str
) -> None:
    """One block has a bad seal, and others near it break other rules: in its batch, before it and after it."""
    slow_down(monkeypatch, here=helper == "in step")
    wrong = broken(chain, seal, None)
    unread, unlinked = {"index": 0}, chain.blocks[1]
    for other, fault, code in (
        (3, unread, "bad_block_fields"),
        (3, unlinked, "wrong_index"),
        (8, unread, "bad_block_fields"),
        (8, unlinked, "wrong_index"),
        (seal + 1, unlinked, "wrong_index"),
    ):
        blocks: list[Any] = [*wrong[:other], fault, *wrong[other + 1 :]]
        reached = 1
        with pytest.raises(RuleError) as caught:
            for state in replay(chain, blocks, helped):
                assert state.tip is not None
                reached = state.tip.index
        first = (other, code) if other < seal else (seal, "sealer_signature_invalid")
        assert (reached, caught.value.code) == first
        helped = use_again(helped)


def use_again(ahead: Ahead) -> Ahead:
    """Forget what a replay that has failed did not ask for."""
    while ahead._sent:
        ahead._read(20)
    ahead._waiting.clear()
    ahead._answers.clear()
    return ahead


@pytest.mark.parametrize("position", [0, 1, 4, 8, 9, 10])
@pytest.mark.parametrize("blocks", ["right", "wrong"])
def test_a_helper_that_dies_changes_no_verdict(chain: Chain, helped: Ahead, blocks: str, position: int) -> None:
    states = replay(chain, chain.blocks if blocks == "right" else broken(chain, 11, None), helped)
    for _ in range(position + 1):
        next(states)
    assert helped.has_helper and helped._helper is not None
    helper = helped._helper
    helper.send_signal(signal.SIGKILL)
    helper.wait()
    if blocks == "right":
        assert len(list(states)) == 11 - position
    else:
        with pytest.raises(RuleError, match="sealer_signature"):
            list(states)
    if position < 5:  # others may need nothing of it any more
        assert not helped.has_helper  # nothing waits for it


def test_a_helper_that_stops_answering_is_done_without(
    chain: Chain, helped: Ahead, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PATIENCE", 0.2)
    states = replay(chain, broken(chain, 11, None), helped)
    next(states)
    assert helped.has_helper and helped._helper is not None
    helped._helper.send_signal(signal.SIGSTOP)
    with pytest.raises(RuleError, match="sealer_signature"):
        list(states)
    assert not helped.has_helper


def test_an_interrupt_of_the_terminal_is_not_for_the_helper(helped: Ahead) -> None:
    assert helped._helper is not None and os.getpgid(helped._helper.pid) != os.getpgid(0)


def test_a_helper_that_cannot_start_is_done_without(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "module_command", lambda name: ["/nowhere/python"])
    with Ahead(worth=0) as ahead:
        assert len(list(replay(chain, chain.blocks, ahead))) == 12
        assert not ahead.has_helper


def test_a_whole_batch_can_be_left_in_the_pipe(helped: Ahead) -> None:
    assert helped._helper is not None and helped._helper.stdin is not None
    if hasattr(fcntl, "F_GETPIPE_SZ"):
        assert fcntl.fcntl(helped._helper.stdin, fcntl.F_GETPIPE_SZ) >= 2 * module._BATCH_BYTES


def test_a_system_that_has_no_larger_pipes_is_as_good(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: object) -> int:
        raise PermissionError

    monkeypatch.setattr(fcntl, "fcntl", refuse)
    with Ahead(worth=0) as ahead:
        ahead.start()
        assert len(list(replay(chain, chain.blocks, ahead))) == 12
        assert ahead.has_helper


def test_one_core_and_short_chains_need_no_helper(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    with Ahead() as ahead:
        assert len(list(replay(chain, chain.blocks, ahead))) == 12
        assert not ahead.has_helper
    monkeypatch.setattr(module, "_cores", lambda: 1)
    with Ahead(worth=0) as alone:
        assert len(list(replay(chain, chain.blocks, alone))) == 12
        assert not alone.has_helper


def test_answers_are_taken_before_they_fill_the_pipe(
    chain: Chain, helped: Ahead, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_OWED", 10)
    monkeypatch.setattr(module, "_SENT", 100)
    for before, after in pairwise(replay(chain, chain.blocks, helped)):
        assert before is after and helped._owed <= 2 * 68  # one batch of two blocks, of three signatures each
    assert helped._owed == 0 and not helped._sent and not helped._answers


def test_everything_is_checked_here_while_the_helper_starts(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "module_command", lambda name: [sys.executable, "-c", "import time; time.sleep(1000)"])
    with Ahead(worth=0) as ahead:
        assert len(list(replay(chain, chain.blocks, ahead))) == 12
        assert ahead._helper is not None and not ahead.has_helper
        with pytest.raises(RuleError, match="sealer_signature"):
            list(replay(chain, broken(chain, 11, None), ahead))


LIARS = {
    "says nothing": "",
    "says something else first": "print('x', flush=True)",
    "answers too little": "answer(lambda count: ['1'])",
    "answers too much": "answer(lambda count: ['1'] * (count + 1))",
    "answers twice": "answer(lambda count: ['1'] * count + ['1\\n1'])",
    "answers before it is asked": "print('1 1 1', flush=True); time.sleep(1000)",
    "answers what is no text": "sys.stdout.buffer.write(b'\\xff\\n'); sys.stdout.flush(); time.sleep(1000)",
    "answers without an end": "while True: print('1' * 1000, end='')",
    "answers nothing": "answer(lambda count: [''] * count)",
    "calls nothing good": "answer(lambda count: ['0'] * count)",
    "calls good what has addresses": "answer(lambda count: ['0x', '0x', '1'] * (count // 3))",
}


@pytest.mark.parametrize("what", LIARS.values(), ids=LIARS)
def test_a_helper_that_fails_changes_no_verdict(chain: Chain, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    ready = "" if "first" in str(what) or not what else "print(flush=True)"
    program = f"""
import marshal, sys, time

def answer(what):
    while length := sys.stdin.buffer.read(4):
        print(*what(len(marshal.loads(sys.stdin.buffer.read(int.from_bytes(length, "little"))))), flush=True)

{ready}
{what}
"""
    monkeypatch.setattr(module, "module_command", lambda name: [sys.executable, "-c", program])
    with Ahead(worth=0) as ahead:
        ahead.start()
        monkeypatch.setattr(module, "_PATIENCE", 0.2)
        assert len(list(replay(chain, chain.blocks, ahead))) == 12
    for transaction, code in ((None, "sealer_signature_invalid"), (1, "bad_signature"), (2, "fields_differ")):
        monkeypatch.setattr(module, "_PATIENCE", 20)
        with Ahead(worth=0) as ahead:
            ahead.start()
            monkeypatch.setattr(module, "_PATIENCE", 0.2)
            with pytest.raises(RuleError) as caught:
                list(replay(chain, broken(chain, 11, transaction), ahead))
            assert caught.value.code == code


def test_a_block_is_judged_before_the_next_ones_cannot_be_read(chain: Chain, helped: Ahead) -> None:
    def blocks(values: list[Json]) -> Iterator[tuple[Json, int]]:
        yield from ((value, 0) for value in values)
        raise ConnectionError

    whole = Replay(rules_for(chain.spec, helped))
    with pytest.raises(ConnectionError):
        for value, _ in read_ahead(blocks(chain.blocks[:8]), whole.rules, helped):
            whole.add(value)
    assert whole.tip is not None and whole.tip.index == 8
    wrong = Replay(rules_for(chain.spec, helped))
    with pytest.raises(RuleError, match="sealer_signature"):
        for value, _ in read_ahead(blocks(broken(chain, 7, None)[:8]), wrong.rules, helped):
            wrong.add(value)


def test_the_helper_is_ours_in_any_directory(
    chain: Chain, helped: Ahead, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "services").mkdir()
    (tmp_path / "services" / "__init__.py").write_text("raise SystemExit(1)")
    (tmp_path / "pickle.py").write_text("raise SystemExit(1)")
    monkeypatch.chdir(tmp_path)
    assert len(list(replay(chain, chain.blocks, helped))) == 12 and helped.has_helper
