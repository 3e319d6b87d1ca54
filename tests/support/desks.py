"""The desk of a node in a thread of the test's process, as its ticker has it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from services.attending import Attendant
from services.connections.servers import as_store, connect_for_jobs
from services.node import build_node
from services.ports import Queue
from services.settings.table import Settings


@contextmanager
def attended(url: str, settings: Settings, queue: Queue) -> Iterator[None]:
    """Seal what the workers of a node hand in, and renew its templates, until the end of the block."""
    stop = threading.Event()
    with connect_for_jobs(url) as redis:
        node = build_node(settings, store=as_store(redis), queue=queue)
        thread = threading.Thread(target=Attendant(node, stop, leads=True).run, name="desk", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            node.desk.inbox.wish()  # ends the wait
            thread.join(10)
            assert not thread.is_alive()
