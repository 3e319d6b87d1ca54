"""The processes of one miner, and what it prints."""

import multiprocessing
import os
import signal
import sys
import threading
import time
from dataclasses import dataclass
from types import FrameType

from services.system.processes import die_with_parent
from services.system.quantities import hashes_text, rate_text
from services.system.visible import escaped
from worker.claim_size import measure_speed
from worker.kernel import Kernel, choose
from worker.miner.board import Board
from worker.miner.door import LeaseDoor, headers_of
from worker.miner.news import hear
from worker.miner.search import Search
from worker.miner.ways import Ways, keep_looking, look

_SHOW_SECONDS = 10.0
_LOOK_SECONDS = 0.25
# Seconds for the processes to report what they have found when the miner is told to stop.
_STOP_SECONDS = 4.0


@dataclass(frozen=True, slots=True)
class Mine:
    """What a miner is told."""

    url: str
    voucher: str
    name: str
    address: str | None
    workers: int
    kernel: str


def run_miner(mine: Mine) -> int:
    """Mine until Ctrl-C or SIGTERM; the exit code (1: the node refuses)."""
    for number in (signal.SIGINT, signal.SIGTERM):
        # Nothing has begun. The compiler would swallow an exception of Python's.
        signal.signal(number, lambda which, _: os._exit(128 + which))
    kernel = choose(mine.kernel)
    kernel.warm_up()
    speed = measure_speed(kernel)
    board = Board()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: board.stop())
    url, headers = mine.url.rstrip("/"), headers_of(mine.voucher)
    again = look(url, headers, board)
    context = multiprocessing.get_context("fork")
    parent = os.getpid()
    workers = [
        context.Process(target=_work, args=(mine, kernel, speed, board, parent), name=f"miner-{number}")
        for number in range(mine.workers)
    ]
    for worker in workers:
        worker.start()
    # After the fork, since no thread survives one.
    door = LeaseDoor(mine.url, mine.voucher, mine.name, mine.address, board)
    threading.Thread(target=hear, args=(door, board), name="news", daemon=True).start()
    if again or board.door_port:
        threading.Thread(target=keep_looking, args=(url, headers, board), name="ways", daemon=True).start()
    where = f"{mine.url} (at {Ways(url, board).now()})" if board.door_port else mine.url
    crew = "1 worker" if mine.workers == 1 else f"{mine.workers} workers"
    _say(f"Mining for {where} with {crew} ({kernel.name} kernel). Ctrl-C stops it.")
    _watch(board, workers)
    board.stop()
    until = time.monotonic() + _STOP_SECONDS
    for worker in workers:
        worker.join(max(0.0, until - time.monotonic()))
        if worker.exitcode is None:
            worker.kill()
            worker.join()
    _say(_figures(board, 0.0))
    if board.failure:
        print(f"quarry: {escaped(board.failure)}", file=sys.stderr, flush=True)
        return 1
    return 0


def _work(mine: Mine, kernel: Kernel, speed: float, board: Board, parent: int) -> None:
    """One process of the miner."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all of them; the first tells the others

    def stop(number: int, frame: FrameType | None) -> None:
        board.stop()

    signal.signal(signal.SIGTERM, stop)
    die_with_parent(parent, signal.SIGKILL)
    search = Search(LeaseDoor(mine.url, mine.voucher, mine.name, mine.address, board), kernel, speed, board)
    try:
        search.run()
    except Exception as error:  # a bug; the others would go on without this one
        board.fail(f"A bug in Quarry ({type(error).__name__}: {error}).")
    search.close()
    os._exit(0)  # a request may wait for a round for seconds more


def _watch(board: Board, workers: list[multiprocessing.context.ForkProcess]) -> None:
    """Print figures until the miner is told to stop, or a process has ended."""
    shown, hashes, away = time.monotonic(), 0, False
    while not board.wait(_LOOK_SECONDS):
        if any(worker.exitcode is not None for worker in workers):
            board.fail(board.failure or "A process of the miner has ended unexpectedly.")
            return
        if board.is_away != away:
            away = not away
            _say("The node does not answer; trying again." if away else "The node answers again.")
        now = time.monotonic()
        if now - shown >= _SHOW_SECONDS:
            done = board.count("hashes")
            _say(_figures(board, (done - hashes) / (now - shown)))
            shown, hashes = now, done


def _figures(board: Board, rate: float) -> str:
    speed = f"{rate_text(rate)} · " if rate else ""
    blocks = board.count("blocks")
    found = f"{blocks} block{'' if blocks == 1 else 's'}"
    done, credited = hashes_text(board.count("hashes")), hashes_text(board.count("credited"))
    return f"{speed}{done} hashes · {credited} credited · {found}"


def _say(line: str) -> None:
    print(escaped(line), flush=True)
