"""Why a store gave no answer, as the log says it: the reason and the wait, and nothing that is secret."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import RedisError

from services.connections import failures
from services.connections.failures import MOST, FailureLog, fields, reason
from services.connections.request_client import RequestClient
from services.connections.servers import REQUEST_TIMEOUT, connect_for_requests
from services.launch.embedded import EmbeddedValkey
from services.system.allowance import Allowance
from shared.errors import NodeError
from tests.support.said import listen
from tests.support.servers import login_of, make_server

SECRET = "Xq7Zk9Wv"


def together(redis: Redis) -> object:
    assert isinstance(redis, RequestClient)
    return redis.execute_each([("GET", "a"), ("GET", "b")])


WAYS: dict[str, Callable[[Redis], object]] = {
    "a command": lambda redis: redis.get("a"),
    "a script": lambda redis: redis.register_script("return 1")(),
    "commands": together,
    "a pipeline": lambda redis: redis.pipeline(transaction=False).get("a").get("b").execute(),
    "a transaction": lambda redis: redis.pipeline(transaction=True).set("a", 1).execute(),
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedValkey]:
    with make_server(tmp_path / "own") as server:
        yield server


def failure(ask: Callable[[], object]) -> RedisError:
    with pytest.raises(RedisError) as raised:
        ask()
    return raised.value


def test_a_server_that_hangs_was_waited_for(server: EmbeddedValkey) -> None:
    assert server.pid is not None
    found: dict[str, dict[str, Any]] = {}
    with connect_for_requests(server.url) as redis:
        redis.script_load("return 1")

        def work(name: str) -> None:
            found[name] = fields(failure(lambda: WAYS[name](redis)))

        os.kill(server.pid, signal.SIGSTOP)
        try:
            threads = [threading.Thread(target=work, args=(name,)) for name in WAYS]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        finally:
            os.kill(server.pid, signal.SIGCONT)
    assert found.keys() == WAYS.keys()
    for name, said in found.items():
        assert said["error"] == "TimeoutError" and said["reason"] == "the server does not answer in time", name
        assert REQUEST_TIMEOUT - 0.1 <= said["waited"] < 20, (name, said)


def test_a_server_that_is_not_there_is_said_at_once() -> None:
    for url in ("redis://127.0.0.1:1/0", "unix:///nowhere/valkey.sock"):
        with connect_for_requests(url) as redis:
            for way in WAYS.values():
                said = fields(failure(lambda way=way, redis=redis: way(redis)))
                assert said["reason"].startswith("the server cannot be reached (") and "nowhere" not in said["reason"]
                assert said["waited"] < REQUEST_TIMEOUT


@pytest.mark.parametrize("name", WAYS)
def test_what_the_server_says_is_said(server: EmbeddedValkey, name: str) -> None:
    with connect_for_requests(server.url) as redis, connect_for_requests(server.url) as admin:
        admin.execute_command("ACL", "SETUSER", "default", "nocommands", "+acl", "+config")
        error = failure(lambda: WAYS[name](redis)) if name != "commands" else together(redis)[0]  # type: ignore[index]
        assert reason(error).startswith("the server refuses (NoPermissionError): ") and "no permissions" in reason(
            error
        )
        admin.execute_command("ACL", "SETUSER", "default", "+@all")
        admin.config_set("maxmemory", 1)
        said = fields(failure(lambda: redis.set("a", 1)))
        assert said["reason"].startswith("the server refuses (OutOfMemoryError): command not allowed when used memory")


def test_neither_arguments_nor_passwords_are_said(server: EmbeddedValkey) -> None:
    script = f"return redis.call('GET', '{SECRET}', '{SECRET}')"
    with connect_for_requests(server.url) as redis:
        redis.set("text", "x")
        failed = [
            failure(lambda: redis.execute_command("NOSUCH", SECRET, SECRET)),
            failure(lambda: redis.pipeline(transaction=False).execute_command("NOSUCH", SECRET).execute()),
            failure(lambda: redis.pipeline(transaction=True).get("a").hget("text", SECRET).execute()),
            failure(lambda: redis.pipeline(transaction=False).hget("text", SECRET).execute()),
            failure(lambda: redis.register_script(script)()),
        ]
    wrong = server.url.replace(login_of(server.url), f"{SECRET}:{SECRET}")
    with connect_for_requests(wrong) as redis:
        failed.append(failure(redis.ping))
    said = [reason(error) for error in failed]
    assert not [text for text in said if SECRET in text or login_of(server.url).lstrip(":") in text], said
    assert [text for text in said if "WRONGTYPE" in text or "wrong kind of value" in text], said
    assert said[-1] == "the server refuses user and password"


def test_a_long_text_is_cut(server: EmbeddedValkey) -> None:
    with connect_for_requests(server.url) as redis:
        script = redis.register_script(f"return redis.error_reply('BAD {'x' * 5000}')")
        assert len(reason(failure(script))) < 300


def test_an_error_of_another_client_has_no_wait() -> None:
    assert fields(RedisError("no")) == {"error": "RedisError", "reason": "the server refuses (RedisError)"}
    assert fields(NodeError("the block is gone")) == {"error": "NodeError", "reason": "the block is gone"}


def test_entries_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(failures, "Allowance", lambda most: Allowance(most, lambda: now[0]))
    said = listen(monkeypatch, "services.connections.failures._log")
    log = FailureLog()
    for _ in range(MOST + 20):
        log.note(RedisError("no"))
    assert [line["left_out"] for line in said] == [0] * MOST
    now[0] = 1.0
    log.note(RedisError("no"))
    assert said[-1] == {
        "event": "store_unavailable",
        "log_level": "error",
        "error": "RedisError",
        "reason": "the server refuses (RedisError)",
        "left_out": 20,
    }
