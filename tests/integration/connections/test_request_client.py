"""The client whose threads keep their connections, against a real server."""

import gc
import itertools
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from services.connections.request_client import RequestClient
from services.connections.servers import connect_for_requests
from services.launch.embedded import EmbeddedValkey
from tests.support.waiting import eventually


def connections(redis: Redis) -> int:
    return len(redis.client_list())


def test_a_thread_keeps_its_connection(valkey: EmbeddedValkey) -> None:
    with connect_for_requests(valkey.url) as redis:
        assert isinstance(redis, RequestClient)
        assert len({redis.client_id() for _ in range(5)}) == 1
        found: list[int] = []
        thread = threading.Thread(target=lambda: found.append(redis.client_id()))
        thread.start()
        thread.join()
        assert found[0] != redis.client_id()


def test_connections_of_threads_that_ended_are_used_again(valkey: EmbeddedValkey) -> None:
    with connect_for_requests(valkey.url, threads=1) as redis:
        found: set[int] = set()
        for _ in range(100):  # more than the pool has connections
            thread = threading.Thread(target=lambda: found.add(redis.client_id()))
            thread.start()
            thread.join()
            gc.collect()
        assert len(found) <= 2


def test_replies_are_those_of_redis_py(valkey: EmbeddedValkey) -> None:
    with connect_for_requests(valkey.url) as redis, Redis.from_url(valkey.url) as other:
        for client in (redis, other):
            client.delete("h", "s", "l")
        redis.hset("h", mapping={"a": "1", "b": "2"})
        assert redis.hgetall("h") == other.hgetall("h") == {b"a": b"1", b"b": b"2"}
        assert redis.zadd("s", {"x": 1.5}) == 1
        assert redis.zrange("s", 0, -1, withscores=True) == other.zrange("s", 0, -1, withscores=True)
        assert redis.get("nothing") is None
        assert redis.register_script("return {1, 'two', {3}}")() == [1, b"two", [3]]
        assert redis.xadd("l", {"k": "v"}) and redis.xrange("l") == other.xrange("l")
        with redis.pipeline(transaction=True) as pipeline:
            assert pipeline.hget("h", "a").hlen("h").execute() == [b"1", 2]
        redis.delete("h", "s", "l")


def test_an_error_of_a_command_leaves_the_connection_usable(valkey: EmbeddedValkey) -> None:
    with connect_for_requests(valkey.url) as redis:
        before = redis.client_id()
        redis.set("text", "x")
        for _ in range(3):
            with pytest.raises(ResponseError):
                redis.execute_command("HGET", "text", "field")
        assert redis.client_id() == before
        redis.delete("text")


def test_a_connection_that_the_server_closed_is_opened_again(valkey: EmbeddedValkey) -> None:
    with connect_for_requests(valkey.url) as redis, Redis.from_url(valkey.url) as other:
        before = redis.client_id()
        other.client_kill_filter(_id=str(before))
        assert redis.ping() and redis.client_id() != before


def test_a_command_that_waits_has_the_timeout_on_top(valkey: EmbeddedValkey) -> None:
    waits: list[Callable[[Redis], object]] = [
        lambda redis: redis.blmove("none", "none", 0.6),
        lambda redis: redis.xread({"none": "0-0"}, block=600),
    ]
    with RequestClient.from_url(valkey.url, socket_timeout=0.3) as redis:
        before = redis.client_id()
        for wait in waits:
            began = time.monotonic()
            assert not wait(redis) and time.monotonic() - began >= 0.6
        assert not redis.xread({"none": "0-0"})
        assert redis.client_id() == before, "no connection was lost"


@pytest.mark.parametrize("wait", ["blmove", "xread"])
def test_a_command_that_waits_at_a_server_that_stands_still_ends(tmp_path: Path, wait: str) -> None:
    with EmbeddedValkey(tmp_path) as server, RequestClient.from_url(server.url, socket_timeout=0.3) as redis:
        pid = int(redis.info("server")["process_id"])
        os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(RedisTimeoutError):
                redis.blmove("none", "none", 0.1) if wait == "blmove" else redis.xread({"none": "0-0"}, block=100)
        finally:
            os.kill(pid, signal.SIGCONT)
        assert redis.ping()


def test_a_late_answer_is_nobody_elses(valkey: EmbeddedValkey) -> None:
    with Redis.from_url(valkey.url) as other:
        redis = RequestClient.from_url(valkey.url, socket_timeout=0.2)
        assert redis.ping()
        other.client_pause(1000, all=True)
        with pytest.raises(RedisTimeoutError):
            redis.set("late", "1")
        eventually(lambda: _answers(redis))
        assert redis.get("late-other") is None and redis.incr("count") == 1
        redis.delete("late", "count")
        redis.close()


def test_a_late_answer_to_a_script_is_nobody_elses(valkey: EmbeddedValkey) -> None:
    with Redis.from_url(valkey.url) as other:
        redis = RequestClient.from_url(valkey.url, socket_timeout=0.2)
        script = redis.register_script("return {KEYS[1], ARGV[1], ARGV[2], ARGV[3]}")
        assert script(keys=["k"], args=["text", b"\x00\xff", 7]) == [b"k", b"text", b"\x00\xff", b"7"]
        numbers = itertools.count()

        def is_answered() -> bool:
            number = str(next(numbers))
            try:
                found = script(keys=["k"], args=[number, "", 0.25])
            except RedisTimeoutError:
                return False
            assert found == [b"k", number.encode(), b"", b"0.25"]
            return True

        other.client_pause(1000, all=True)
        assert not is_answered()
        eventually(is_answered)
        assert is_answered()
        redis.close()


def test_a_script_that_fails_or_is_not_known_leaves_the_connection_usable(valkey: EmbeddedValkey) -> None:
    with connect_for_requests(valkey.url) as redis:
        before, script = redis.client_id(), redis.register_script("return redis.error_reply('ERR ' .. ARGV[1])")
        for text in ("one", "two"):
            with pytest.raises(ResponseError, match=text):
                script(args=[text])
            redis.script_flush()
        assert redis.client_id() == before


def _answers(redis: Redis) -> bool:
    try:
        return bool(redis.ping())
    except RedisError:
        return False


def test_a_server_that_starts_again_is_found(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path) as server:
        with connect_for_requests(server.url) as redis:
            assert redis.ping()
            server.stop()
            with pytest.raises(RedisConnectionError):
                redis.ping()
            server.start()
            eventually(lambda: _answers(redis))


def test_closing_closes_all_connections(valkey: EmbeddedValkey) -> None:
    with Redis.from_url(valkey.url) as other:
        before = connections(other)
        redis, stop, connected = connect_for_requests(valkey.url), threading.Event(), threading.Barrier(5)

        def work() -> None:
            redis.ping()
            connected.wait(20)
            stop.wait(20)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        connected.wait(20)
        assert connections(other) == before + 4
        redis.close()
        eventually(lambda: connections(other) == before)
        stop.set()
        for thread in threads:
            thread.join()


def test_threads_at_once_get_their_own_answers(valkey: EmbeddedValkey) -> None:
    wrong: list[object] = []
    with connect_for_requests(valkey.url) as redis:
        echo = redis.register_script("return ARGV[1]")

        def work(number: int) -> None:
            for i in range(300):
                text = f"{number}-{i}"
                if redis.echo(text) != text.encode() or echo(args=[text]) != text.encode():
                    wrong.append((number, i))

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_commands_that_are_sent_together_fail_alone(valkey: EmbeddedValkey) -> None:
    with connect_for_requests(valkey.url) as redis:
        assert isinstance(redis, RequestClient)
        redis.delete("n", "l")
        redis.rpush("l", "x")
        commands = [("INCR", "n"), ("INCR", "l"), ("INCR", "n"), ("NOSUCH",), ("LRANGE", "l", 0, -1)]
        one, wrong, two, unknown, rest = redis.execute_each(commands)
        assert (one, two, rest) == (1, 2, [b"x"])
        assert isinstance(wrong, ResponseError) and isinstance(unknown, ResponseError)
        assert redis.execute_each([]) == []
        redis.delete("n", "l")


def test_replies_that_are_not_read_reach_nobody_else(valkey: EmbeddedValkey) -> None:
    with connect_for_requests(valkey.url) as redis:
        assert isinstance(redis, RequestClient)
        read = redis.parse_response

        def cut_off(*args: object, **options: object) -> object:
            raise RedisConnectionError

        redis.parse_response = cut_off  # type: ignore[assignment, method-assign]
        with pytest.raises(RedisConnectionError):
            redis.execute_each([("ECHO", "one"), ("ECHO", "two")])
        redis.parse_response = read  # type: ignore[method-assign]
        assert redis.execute_each([("ECHO", "three")]) == [b"three"]
