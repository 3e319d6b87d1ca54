"""Serves the application with granian: several processes, each with a pool of threads. A request holds one thread."""

import importlib
import logging
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import structlog
from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels

from api.serving import heap
from api.serving.runner import serve_process
from api.serving.startup import allow_files, require_servers
from services import registry
from services.attending import attend
from services.connections.servers import Redis, RedisError, as_store, connect_for_requests, explain
from services.errors import BadSettings, StoreUnavailable, WrongChain
from services.jobs.queues import RqJobs
from services.launch.ports import PortTaken, reserved
from services.node import build_node
from services.settings.hosts import bind_address
from services.settings.table import Settings, load
from services.settings.values import named
from services.system import logs, tracing
from services.system.brief import in_brief_process
from services.system.loading import keep, uncollected
from services.system.processes import die_with_parent
from services.wallet.development import accounts_of

if TYPE_CHECKING:
    from flask import Flask

_log = structlog.get_logger(__name__)

# Connections of each process, idle ones included. The number of threads, not this, limits the work.
CONNECTIONS = 2048
# Bytes that the server buffers for each connection: of what it received, heads included, and of what it will send.
BUFFER = 65_536
# Seconds for a client to send the head of a request; also the longest pause between two requests of a connection.
HEAD_SECONDS = 10
# Seconds after SIGTERM for requests that wait for a block or for the store. After them a process is killed, such as one
# that was still starting and missed the signal.
STOP_SECONDS = 0.5
# What is said of settings and servers that cannot be used. This process forks the server processes, so what it does
# before is done in others, and their memory stays shared.
_REFUSALS = (BadSettings, StoreUnavailable, WrongChain)
# Granian's own messages go through our logging (services/system/logs.py).
_OUR_LOG: dict[str, Any] = {
    "formatters": {},
    "handlers": {},
    "filters": {"ours": {"()": lambda: _is_news}},
    "loggers": {"_granian": {"handlers": [], "propagate": True, "filters": ["ours"]}},
}


def _is_news(record: logging.LogRecord) -> bool:
    """False for granian's warning about the number of threads: most of ours wait for a block, and cost no time."""
    return not str(record.msg).startswith("Configuration allows spawning up to")


def serve(settings: Settings) -> None:
    """Serve until told to stop.

    The settings are checked before the port is bound. Then the genesis block is made, or compared with the chain spec.

    Raises:
        BadSettings: a secret, the host, the port or a server cannot be used, and waiting would not help.
        WrongChain: the store holds a chain of another spec, or one that breaks a rule that was added later.
        StoreUnavailable: no Redis answers.
    """
    logs.begin(settings)
    settings.admin_token()
    accounts_of(settings)  # refuses a bad file of the phrase
    address = named("QUARRY_HOST", bind_address, settings.host)
    in_brief_process(lambda: require_servers(settings), _REFUSALS)
    allow_files(2 * CONNECTIONS)
    with (
        _port(address, settings) as port,
        tempfile.TemporaryDirectory(prefix="quarry-metrics-") as directory,
    ):
        # The processes keep request times in this directory, so that each of them can answer /metrics for all.
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = directory
        os.environ["QUARRY_PORT"] = str(port)  # the server processes need it where QUARRY_PORT asked for any free port
        in_brief_process(lambda: _begin(settings), _REFUSALS)
        _log.info("serving", address=address, port=port)
        try:
            _serve(settings, address, port)
        except RuntimeError as error:  # from granian: another process has just taken the port
            if "os error" not in str(error):
                raise
            raise BadSettings(f"{_where(settings)} cannot be used: {str(error).splitlines()[0]}.") from None


@contextmanager
def _port(address: str, settings: Settings) -> Iterator[int]:
    try:
        # The processes of a server that is ending may still have the port.
        with reserved(address, settings.port, patience=STOP_SECONDS + 1) as port:
            yield port
    except PortTaken as error:
        raise BadSettings(f"{_where(settings)} {error}; QUARRY_HOST and QUARRY_PORT name another.") from None


def _where(settings: Settings) -> str:
    return f"Port {settings.port} on {settings.host}"


def _begin(settings: Settings) -> None:
    """Make the genesis block if there is none, and register the node for its workers."""
    with connect_for_requests(settings.redis_url) as store, connect_for_requests(settings.broker_url) as broker:
        try:
            build_node(settings, store=as_store(store), queue=RqJobs(broker)).begin()
            registry.register(as_store(broker), settings)
        except RedisError as error:
            raise StoreUnavailable(f"QUARRY_REDIS_URL or QUARRY_BROKER_URL: {explain(error)}.") from error


def _serve(settings: Settings, address: str, port: int) -> None:
    if multiprocessing.get_start_method() == "fork":  # the server processes then share what is loaded here
        _load_application()
    Granian(
        "api.server:application",
        factory=True,
        address=address,
        port=port,
        interface=Interfaces.WSGI,
        workers=settings.api_processes,
        blocking_threads=settings.api_threads,
        blocking_threads_idle_timeout=30,
        backpressure=CONNECTIONS,
        http=HTTPModes.http1,  # "auto" waits for the first byte without limit, and HTTP/2 for the head
        http1_settings=HTTP1Settings(header_read_timeout=HEAD_SECONDS * 1000, max_buffer_size=BUFFER),
        websockets=False,
        respawn_failed_workers=True,
        workers_kill_timeout=STOP_SECONDS,  # type: ignore[arg-type] # fractions work too
        log_level=LogLevels.warning,
        log_dictconfig=_OUR_LOG,
    ).serve(spawn_target=serve_process)


def _load_application() -> None:
    """Load the modules that only a server process uses. One reads PROMETHEUS_MULTIPROC_DIR when it is imported."""
    with uncollected():
        importlib.import_module("api.app")
        importlib.import_module("api.rest.metrics")
    keep()


def application() -> "Flask":
    """The application of one server process, from the environment."""
    _load_application()
    from api.access import served
    from api.app import create_app
    from api.serving.connections import Watch
    from api.serving.held_metrics import forget_dead_processes

    heap.configure()
    # An orphaned process would keep the port, and nothing would stop it.
    die_with_parent(os.getppid(), signal.SIGTERM)
    settings = load(os.environ)
    logs.configure(settings.log_level, settings.log_format)
    tracing.begin(settings, "api")
    store = _connect(settings.redis_url, settings)
    broker = store if settings.broker_url == settings.redis_url else _connect(settings.broker_url, settings)
    # With short time slices, a large batch does not delay the other requests of this process.
    sys.setswitchinterval(0.002)
    node = build_node(settings, store=as_store(store), queue=RqJobs(broker), broker=as_store(broker))
    node.clock.now()  # the first call waits for the store's clock
    app = create_app(node, settings.admin_token())
    forget_dead_processes()
    Watch(settings.port, served(app).budget, served(app).deadlines).start()
    attend(node, threading.Event(), leads=False)
    return app


def _connect(url: str, settings: Settings) -> Redis:
    return connect_for_requests(url, settings.api_threads)
