"""Housekeeping in a thread of the ticker, so that it waits neither for a worker nor for a peer."""

import threading
import time

import structlog

from services.connections.servers import Redis, RedisError, as_store, connect_for_jobs
from services.errors import NotBegun
from services.housekeeping import CHECK_SECONDS, keep_house, take_slot
from services.jobs import totals as job_totals
from services.jobs.queues import HOUSEKEEPING, RqJobs
from services.node import Node, build_node
from services.payouts.sharing import Payer, payer_of
from services.settings.table import Settings
from shared.errors import NodeError

_log = structlog.get_logger(__name__)

_LOOK_SECONDS = 1.0


class Housekeeper:
    """Does the housekeeping of one node, once per slot, however many tickers run. One run at a time.

    It has connections of its own, so a store that does not answer blocks this thread and nothing else of the ticker.
    """

    def __init__(self, node: Node, broker: Redis, payer: Payer | None = None) -> None:
        """
        Args:
            payer: None: this node shares no rewards.
        """
        self._node = node
        self._payer = payer
        self._broker = broker
        # When the whole check last ran; None: not yet in this process. It is not due at once: the API runs it when it
        # starts.
        self._checked: float | None = None

    def tick(self) -> bool:
        """Do the housekeeping if no other ticker has taken this slot; whether it was done.

        Raises:
            RedisError, NodeError: as the parts of housekeeping. The next slot tries again.
        """
        if not take_slot(self._node):
            self._node.announcer.news_waiting()
            return False
        began, failed = time.perf_counter(), True
        try:
            now = self._node.clock.now()
            if self._checked is None and not self._node.settings.payout_depth:
                self._node.payouts.forget_shares()  # they may have been on before this process began
            since = now if self._checked is None else self._checked
            is_due = abs(now - since) >= CHECK_SECONDS
            keep_house(self._node, check_all=is_due)
            if self._payer is not None:
                self._payer.run()
            self._checked = now if is_due else since
            failed = False
        finally:
            job_totals.count(self._broker, HOUSEKEEPING, None, time.perf_counter() - began, failed=failed)
        return True

    def run(self, stop: threading.Event) -> None:
        """Tick about once a second until `stop`. Errors are logged and do not end it."""
        while not stop.wait(_LOOK_SECONDS):
            try:
                self.tick()
            except NotBegun:
                pass  # until the API has written the genesis block
            except (RedisError, NodeError) as error:
                _log.warning("housekeeping_failed", error=type(error).__name__, reason=str(error))
            except Exception:
                _log.exception("bug")


def start_housekeeper(settings: Settings, stop: threading.Event) -> threading.Thread:
    """Start a thread that does the node's housekeeping until `stop`. The process may end while the thread works.

    Raises:
        BadSettings: rewards are to be shared, and there is no key for it.
    """
    broker = connect_for_jobs(settings.broker_url)
    node = build_node(settings, store=as_store(connect_for_jobs(settings.redis_url)), queue=RqJobs(broker))
    payer = payer_of(settings, node)
    thread = threading.Thread(
        target=Housekeeper(node, broker, payer).run, args=(stop,), name="housekeeper", daemon=True
    )
    thread.start()
    return thread
