"""Serving the application: granian, several processes, a thread for each request that waits."""

import os
import resource
import signal
import sys
import tempfile
from typing import TYPE_CHECKING

from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from api import heap
from api.runner import serve_process
from services import logs, registry
from services.connections import as_store, connect_for_requests
from services.errors import StoreUnavailable
from services.launch.processes import die_with_parent
from services.node import build_node
from services.queues import RqJobs
from services.settings import Settings, load

if TYPE_CHECKING:
    from flask import Flask

# Per process. Idle connections count as well, so this is no measure of work: the threads are.
CONNECTIONS = 2048
# Bytes that the server keeps per connection of what is received, heads included, and of what is to be sent.
BUFFER = 65_536
# To send a request's head, and between two requests of one connection.
HEAD_SECONDS = 10
# From SIGTERM to the end of requests that still wait: for a block, or for a store that is away. Also for a process that
# was told so while it was starting: it misses the signal.
STOP_SECONDS = 1


def serve(settings: Settings) -> None:
    """Serve until told to stop. The genesis block comes first: another chain spec ends it here, with one line.

    Raises:
        WrongChain: the store holds a chain of another spec.
        StoreUnavailable: no Redis answers.
    """
    logs.configure(settings.log_level, settings.log_format)
    try:
        _begin(settings)
    except (RedisConnectionError, RedisTimeoutError) as error:
        raise StoreUnavailable(
            f"Redis cannot be used ({type(error).__name__}): see QUARRY_REDIS_URL and QUARRY_BROKER_URL."
        ) from error
    _allow_files(2 * CONNECTIONS)
    with tempfile.TemporaryDirectory(prefix="quarry-metrics-") as directory:
        # Where the processes keep their request times, for whichever of them is asked for /metrics.
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = directory
        _serve(settings)


def _begin(settings: Settings) -> None:
    """Make the genesis block, if there is none, and tell the workers of this node."""
    with connect_for_requests(settings.redis_url) as store, connect_for_requests(settings.broker_url) as broker:
        build_node(settings, store=as_store(store), queue=RqJobs(broker)).begin()
        registry.register(as_store(broker), settings)


def _serve(settings: Settings) -> None:
    Granian(
        "api.server:application",
        factory=True,
        address=settings.host,
        port=settings.port,
        interface=Interfaces.WSGI,
        workers=settings.api_processes,
        blocking_threads=settings.api_threads,
        blocking_threads_idle_timeout=30,
        backpressure=CONNECTIONS,
        http=HTTPModes.http1,  # "auto" waits without limit for the first byte, and HTTP/2 has no limit for the head
        http1_settings=HTTP1Settings(header_read_timeout=HEAD_SECONDS * 1000, max_buffer_size=BUFFER),
        websockets=False,
        respawn_failed_workers=True,
        workers_kill_timeout=STOP_SECONDS,
        log_level=LogLevels.warning,
    ).serve(spawn_target=serve_process)


def _allow_files(wanted: int) -> None:
    """Raise this process's limit of open files, sockets included, and thereby its children's, as far as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, allowed), hard))


def application() -> "Flask":
    """The application of one server process, from the environment."""
    # Here: the process that only watches the others does not need them, and request times go where it has said.
    from api.app import create_app
    from api.connections import Watch
    from api.held_metrics import forget_dead_processes

    heap.configure()
    # An orphan would keep the port, and nobody would stop it.
    die_with_parent(os.getppid(), signal.SIGTERM)
    settings = load(os.environ)
    logs.configure(settings.log_level, settings.log_format)
    store = connect_for_requests(settings.redis_url)
    broker = store if settings.broker_url == settings.redis_url else connect_for_requests(settings.broker_url)
    token = settings.admin_token_file.read_text("utf-8").strip() if settings.admin_token_file else None
    # Short slices of the interpreter keep a batch from holding up the other requests of this process.
    sys.setswitchinterval(0.002)
    app = create_app(build_node(settings, store=as_store(store), queue=RqJobs(broker), broker=as_store(broker)), token)
    forget_dead_processes()
    watch = Watch(settings.port, app.extensions["quarry.budget"], app.extensions["quarry.deadlines"])
    watch.start()
    return app
