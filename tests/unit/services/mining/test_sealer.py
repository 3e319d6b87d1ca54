"""The sealer's key of a process: what it may sign at which height, and how its file is read."""

from dataclasses import replace
from pathlib import Path

import pytest

from services.errors import BadSettings, NotASealer
from services.mining.sealer import Sealer, sealer_of
from services.settings.table import load
from services.wallet import keyring
from shared.upgrades import read_upgrades
from tests.support.clocks import FakeClock
from tests.support.keys import ALICE, BOB
from tests.support.queues import RecordingQueue
from tests.support.specs import make_spec

pytestmark = pytest.mark.usefixtures("own_environment")

SPEC = make_spec(sealers=[ALICE.address])


def test_where_anybody_may_seal_nobody_signs() -> None:
    for sealer in (Sealer(make_spec()), Sealer(make_spec(), ALICE)):
        assert sealer.may_seal(2) and sealer.require(2) is None


def test_only_a_sealer_may() -> None:
    assert Sealer(SPEC, ALICE).require(2) is ALICE
    with pytest.raises(NotASealer, match=f"make block 7, and {BOB.address}, the key of this node, is none") as error:
        Sealer(SPEC, BOB).require(7)
    assert error.value.code == "not_a_sealer"
    with pytest.raises(NotASealer, match="set QUARRY_SEALER_KEY_FILE"):
        Sealer(SPEC).require(2)


def test_an_upgrade_changes_who_may() -> None:
    items = [{"height": 5, "changes": {"sealers": [BOB.address]}}, {"height": 9, "changes": {"sealers": []}}]
    spec = read_upgrades({"spec": SPEC.hash, "upgrades": items}, SPEC, agreed=False)
    assert [Sealer(spec, BOB).may_seal(height) for height in (4, 5, 8, 9)] == [False, True, True, True]
    assert [Sealer(spec, ALICE).may_seal(height) for height in (4, 5, 8, 9)] == [True, False, False, True]


def test_a_process_without_the_key_asks_once_in_a_second() -> None:
    queue = RecordingQueue()
    worker = Sealer(SPEC, elsewhere=True)
    clock = FakeClock()
    for seconds in (0.1, 0.2, 1.0):
        clock.time += seconds
        assert worker.ask(queue, clock, "node1", "ab" * 32, "3")
    assert len(queue.jobs) == 2
    for other in (Sealer(SPEC), Sealer(SPEC, ALICE, elsewhere=True)):
        assert not other.ask(queue, clock, "node1", "cd" * 32, "3")
    assert len(queue.jobs) == 2


def test_the_key_file(tmp_path: Path) -> None:
    keyring.store(tmp_path / "wallet", ALICE.seed)
    file = tmp_path / "wallet" / "private.key"
    given = load({"QUARRY_SEALER_KEY_FILE": str(file)})
    assert sealer_of(given).key is None  # nobody signs on this chain, so the file is not read
    assert sealer_of(replace(given, spec=SPEC)).address == ALICE.address
    assert sealer_of(replace(load({}), spec=SPEC)).key is None


def test_a_key_file_that_cannot_be_used(tmp_path: Path) -> None:
    def reason(path: Path) -> str:
        with pytest.raises(BadSettings) as error:
            sealer_of(replace(load({"QUARRY_SEALER_KEY_FILE": str(path)}), spec=SPEC))
        return str(error.value)

    keyring.store(tmp_path / "locked", ALICE.seed, "secret words")
    keyring.store_ethereum(tmp_path / "ethereum", b"\x01" * 32)
    keyring.store(tmp_path / "open", ALICE.seed)
    (tmp_path / "open" / "private.key").chmod(0o644)
    assert "is encrypted" in reason(tmp_path / "locked" / "private.key")
    assert "holds no Ed25519 key" in reason(tmp_path / "ethereum" / "private.key")
    assert "can be read by others" in reason(tmp_path / "open" / "private.key")
    assert reason(tmp_path / "none").startswith("QUARRY_SEALER_KEY_FILE: ")
