"""Connections to real servers: by socket, with TLS, with a wrong login, to an old server, by many at once."""

import os
import signal
import threading
from pathlib import Path

import pytest
from redis import Redis

from api.server import _connect
from api.serving.startup import require_servers
from services.connections.servers import (
    REQUEST_TIMEOUT,
    connect_for_jobs,
    connect_for_requests,
    require_mendable,
    require_usable,
)
from services.errors import BadSettings, StoreUnavailable
from services.launch.embedded import EmbeddedValkey
from services.settings.redis_url import normal
from services.settings.table import load
from tests.support.relay import Relay, older, self_signed
from tests.support.servers import login_of, make_server, port_of, socket_server
from tests.support.stopwatch import Stopwatch
from tests.support.waiting import eventually


def test_a_socket_is_as_good_as_a_port(tmp_path: Path) -> None:
    with socket_server(tmp_path) as url:
        for connect in (connect_for_requests, connect_for_jobs):
            with connect(normal(url)) as redis:
                require_usable(redis, "QUARRY_REDIS_URL")
                redis.set("here", "1")
                assert redis.info("keyspace").keys() == {"db2"}
        require_mendable(normal(url), "QUARRY_REDIS_URL")


def test_tls_is_checked_and_what_is_wrong_is_said(valkey: EmbeddedValkey, tmp_path: Path) -> None:
    login = login_of(valkey.url)
    path, context = self_signed(tmp_path)
    with Relay(port_of(valkey.url), context=context) as relay:
        at = f"rediss://{login}@127.0.0.1:{relay.port}/0"
        for url in (f"{at}?ssl_ca_certs={path}", f"{at}?ssl_cert_reqs=none", f"valkeys{at[6:]}?ssl_ca_certs={path}"):
            with connect_for_requests(normal(url)) as redis:
                assert redis.ping()
        with pytest.raises(
            BadSettings, match=r"BROKER: the server's certificate is not accepted: self.signed"
        ) as caught:
            require_mendable(normal(at), "BROKER")
        assert login.strip(":") not in str(caught.value)
        name = normal(at.replace("127.0.0.1", "localhost") + f"?ssl_ca_certs={path}")
        with pytest.raises(BadSettings, match="not accepted: Hostname mismatch"):
            require_mendable(name, "BROKER")
    # A server without TLS may be one that is not ready yet, so it is waited for, but the cause is shown.
    with connect_for_requests(normal(f"rediss://{login}@127.0.0.1:{port_of(valkey.url)}/0")) as redis:
        with pytest.raises(StoreUnavailable):
            require_usable(redis, "STORE")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda url: url.replace(login_of(url), ":wrong-Xq7Zk9Wv"), "refuses user and password"),
        (lambda url: url.replace(login_of(url), "nobody:wrong-Xq7Zk9Wv"), "refuses user and password"),
        (lambda url: url.replace(login_of(url) + "@", ""), "refuses user and password"),
        (lambda url: url[:-1] + "9999", "no database of that number"),
    ],
)
def test_what_no_waiting_mends_is_said_at_once(valkey: EmbeddedValkey, change, words: str) -> None:
    url = normal(change(valkey.url))
    watch = Stopwatch(valkey.pid)
    with pytest.raises(BadSettings, match=f"QUARRY_REDIS_URL: the server .*{words}") as caught:
        require_mendable(url, "QUARRY_REDIS_URL")
    assert watch.seconds() < 3
    assert "Xq7Zk9Wv" not in str(caught.value)


def test_who_does_not_answer_may_come() -> None:
    require_mendable("redis://127.0.0.1:1/0", "QUARRY_REDIS_URL")
    with connect_for_requests("redis://127.0.0.1:1/0") as redis:
        with pytest.raises(StoreUnavailable, match=r"cannot be reached \(Connection refused\)"):
            require_usable(redis, "QUARRY_REDIS_URL")
    with connect_for_requests("redis://no-such-host.invalid/0") as redis:
        with pytest.raises(StoreUnavailable, match="its host is not found"):
            require_usable(redis, "QUARRY_REDIS_URL")


def test_a_server_that_is_late_is_asked_again_when_a_program_starts(tmp_path: Path) -> None:
    """It stands still until the third time that it is asked."""
    with make_server(tmp_path / "own") as server:
        assert server.pid is not None
        os.kill(server.pid, signal.SIGSTOP)
        woken = threading.Timer(2 * REQUEST_TIMEOUT + 0.5, os.kill, (server.pid, signal.SIGCONT))
        woken.start()
        try:
            with connect_for_requests(server.url) as redis, pytest.raises(StoreUnavailable, match="in time"):
                require_usable(redis, "QUARRY_REDIS_URL")
            require_servers(load({"QUARRY_NODE": "a", "QUARRY_REDIS_URL": server.url}))
        finally:
            woken.join()


def test_a_server_that_is_too_old_is_refused(valkey: EmbeddedValkey) -> None:
    with Relay(port_of(valkey.url), older) as relay:
        url = valkey.url.replace(f":{port_of(valkey.url)}/", f":{relay.port}/")
        with pytest.raises(BadSettings, match=r"the server is \w+ 6\..*, and Quarry needs Redis or Valkey 7 or later"):
            require_mendable(normal(url), "QUARRY_REDIS_URL")


def test_who_may_not_ask_for_the_version_is_let_in(valkey: EmbeddedValkey) -> None:
    with Redis.from_url(valkey.url) as admin:
        admin.execute_command("ACL", "SETUSER", "shy", "on", ">a-password", "~*", "+@all", "-info")
    try:
        require_mendable(normal(valkey.url.replace(login_of(valkey.url), "shy:a-password")), "QUARRY_REDIS_URL")
    finally:
        with Redis.from_url(valkey.url) as admin:
            admin.execute_command("ACL", "DELUSER", "shy")


def test_the_pool_follows_the_threads(valkey: EmbeddedValkey) -> None:
    """As many requests as the API lets wait at once have a connection each, and there is one for others."""
    threads = 150
    with connect_for_requests(normal(valkey.url), threads) as redis:
        together, failed = threading.Barrier(threads + 1), []

        def wait() -> None:
            together.wait(30)
            try:
                redis.blpop(["words"], timeout=60)
            except Exception as error:
                failed.append(error)

        waiting = [threading.Thread(target=wait) for _ in range(threads)]
        for thread in waiting:
            thread.start()
        together.wait(30)
        eventually(lambda: redis.info("clients")["blocked_clients"] == threads)
        assert redis.ping()
        redis.rpush("words", *range(threads))  # one for each
        for thread in waiting:
            thread.join()
    assert not failed


def test_the_api_asks_for_as_many_connections_as_it_has_threads() -> None:
    settings = load({"QUARRY_API_THREADS": "300"})
    with _connect(settings.redis_url, settings) as redis:
        assert redis.connection_pool.max_connections >= 300
