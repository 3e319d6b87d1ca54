"""Workers' names: the machine and a number, each one worker's while it lives."""

import platform
import secrets
import threading
import time

import pytest
from fakeredis import FakeRedis, FakeServer

from services.jobs.worker_names import WorkerName, host_label, own_base
from services.store.keys import WORKERS


@pytest.fixture
def broker() -> FakeRedis:
    return FakeRedis()


def worker_of(broker: FakeRedis, base: str) -> WorkerName:
    return WorkerName(broker, base, secrets.token_hex(16))


def known_to_rq(broker: FakeRedis, name: str, **record: str) -> None:
    broker.hset(f"rq:worker:{name}", mapping={"birth": "2026", **record})


@pytest.mark.parametrize(
    ("host", "label"),
    [
        ("anna", "anna"),
        ("anna.example.org", "anna"),
        ("ANNA_2", "ANNA_2"),
        ("anna böck\n<b>", "anna-b-ck-b"),
        ("-x-", "x"),
        ("", "worker"),
        (".", "worker"),
        ("рабочий", "worker"),
        ("a" * 300, "a" * 32),
        ("a" * 31 + ".x", "a" * 31),
        ("a" * 31 + " b", "a" * 31),
    ],
)
def test_a_machine_gives_its_name(host: str, label: str) -> None:
    assert host_label(host) == label


def test_a_given_name_replaces_that_of_the_machine() -> None:
    host = host_label(platform.node())
    assert (own_base("mining"), own_base("network")) == (host, f"{host}-network")
    assert own_base("mining", "miner") == "miner" and own_base("network", "network1") == "network1"


def test_each_worker_takes_the_lowest_free_number(broker: FakeRedis) -> None:
    workers = [worker_of(broker, base) for base in ("anna", "anna", "ben", "anna")]
    assert [worker.take() for worker in workers] == ["anna-1", "anna-2", "ben-1", "anna-3"]
    assert all(worker.keep() for worker in workers)
    workers[1].give_back()
    assert worker_of(broker, "anna").take() == "anna-2"
    assert not workers[1].keep(), "it is another's by now"


def test_what_is_given_back_late_stays_with_its_new_owner(broker: FakeRedis) -> None:
    first, second = worker_of(broker, "anna"), worker_of(broker, "anna")
    first.take()
    broker.hset(WORKERS, "anna-1", "somebody 0")  # the lease is over
    assert second.take() == "anna-1"
    first.give_back()
    assert second.keep()
    assert first.take() == "anna-2"


def test_a_killed_worker_keeps_its_name_until_rq_has_forgotten_it(broker: FakeRedis) -> None:
    broker.hset(WORKERS, mapping={"anna-1": "killed 1", "anna-2": "killed 1"})
    known_to_rq(broker, "anna-1")
    known_to_rq(broker, "anna-2", death="2026")
    assert worker_of(broker, "anna").take() == "anna-2"
    broker.delete("rq:worker:anna-1")
    assert worker_of(broker, "ben").take() == "ben-1"
    assert set(broker.hkeys(WORKERS)) == {b"anna-2", b"ben-1"}, "names of killed workers do not gather"


def test_a_worker_of_another_program_keeps_its_name(broker: FakeRedis) -> None:
    known_to_rq(broker, "anna-1")
    assert worker_of(broker, "anna").take() == "anna-2"


def test_a_name_outlives_an_emptied_broker(broker: FakeRedis) -> None:
    first, second = worker_of(broker, "anna"), worker_of(broker, "anna")
    assert [first.take(), second.take()] == ["anna-1", "anna-2"]
    broker.flushall()
    assert second.keep()
    newcomer = worker_of(broker, "anna")
    assert newcomer.take() == "anna-1"
    assert not first.keep(), "taken meanwhile: two workers never share a name"
    assert first.take() == "anna-3"


def test_a_lease_ends(broker: FakeRedis) -> None:
    worker = worker_of(broker, "anna")
    before = time.time()
    worker.take()
    until = int((broker.hget(WORKERS, "anna-1") or b"").split()[1])
    assert before + 88 < until < time.time() + 91


@pytest.mark.parametrize("entry", [b"", b"garbage", b"a b c", b"\xff\xfe"])
def test_a_damaged_entry_is_replaced(broker: FakeRedis, entry: bytes) -> None:
    broker.hset(WORKERS, "anna-1", entry)
    worker = worker_of(broker, "anna")
    assert worker.take() == "anna-1"
    assert worker.keep()


def test_workers_that_start_at_once_have_different_names() -> None:
    server, names, lock = FakeServer(), [], threading.Lock()
    barrier = threading.Barrier(16)

    def start() -> None:
        worker = worker_of(FakeRedis(server=server), "anna")
        barrier.wait(10)
        name = worker.take()
        with lock:
            names.append(name)

    threads = [threading.Thread(target=start) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(names) == sorted(f"anna-{number}" for number in range(1, 17))
