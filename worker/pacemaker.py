"""Interval mining in a thread of the ticker: its beats may be closer than the ticker's own."""

import threading

import structlog

from services.connections.servers import RedisError, as_store, connect_for_jobs
from services.errors import NotBegun
from services.jobs.queues import RqJobs
from services.mining.modes import MiningModes
from services.node import build_node
from services.settings.table import Settings
from shared.errors import NodeError

_log = structlog.get_logger(__name__)

# Seconds between two looks: a control method may have set another interval.
LOOK_SECONDS = 0.25


class Pacemaker:
    """Asks for a block whenever the interval of a node is over."""

    def __init__(self, modes: MiningModes) -> None:
        self._modes = modes
        self._failing = False

    def tick(self) -> float:
        """Ask for a block, if it is time. Returns the seconds until the next look."""
        try:
            wait = self._modes.beat()
        except NotBegun:
            return LOOK_SECONDS  # until the API has written the genesis block
        except (RedisError, NodeError) as error:
            if not self._failing:  # one line, not four a second
                _log.warning("interval_mining_failed", error=type(error).__name__, reason=str(error))
            self._failing = True
            return LOOK_SECONDS
        except Exception:
            _log.exception("bug")
            return LOOK_SECONDS
        self._failing = False
        return LOOK_SECONDS if wait is None else min(wait, LOOK_SECONDS)

    def run(self, stop: threading.Event) -> None:
        """Tick until `stop`. Errors are logged and do not end it."""
        while not stop.wait(self.tick()):
            pass


def start_pacemaker(settings: Settings, stop: threading.Event) -> threading.Thread | None:
    """Start a thread that mines at intervals until `stop`, with connections of its own.

    None: this node never does: the difficulty makes its blocks' intervals, or it has no interval and no control method
    can set one, or it does not mine.
    """
    spec = settings.spec
    if spec.block_interval or not (settings.block_time or spec.development):
        return None
    if not settings.reward_address:
        if settings.block_time:
            _log.warning("no_interval_mining", reason="QUARRY_BLOCK_TIME needs QUARRY_REWARD_ADDRESS")
        return None
    broker = connect_for_jobs(settings.broker_url)
    node = build_node(settings, store=as_store(connect_for_jobs(settings.redis_url)), queue=RqJobs(broker))
    thread = threading.Thread(target=Pacemaker(node.modes).run, args=(stop,), name="pacemaker", daemon=True)
    thread.start()
    return thread
