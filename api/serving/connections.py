"""Ends connections that hold something for too long: idle ones, slow senders and slow readers.

Granian has a time limit for the head of a request, but none for its body or for the reading of its answer, and a thread
waits for each (granian, issue 728). The kernel knows the state of every connection of this process (TCP_INFO), so one
thread can watch all of them. This needs Linux; elsewhere a slow sender gets its answer, but its thread is not freed.
"""

import os
import random
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import structlog

from api.errors import problem
from api.serving import heap
from api.serving.budget import Budget, Kind
from api.serving.held_metrics import REASONS, BudgetMetrics

_log = structlog.get_logger(__name__)

# Seconds for a whole body to arrive. A body of 1 MiB has to come at 100 kB/s at least.
BODY_SECONDS = 10.0
# While others stand in line: these seconds, plus the time that the body takes at this rate (bytes per second).
TIGHT_BODY_SECONDS = 1.0
TIGHT_BODY_RATE = 262_144
# A reader has to take this many bytes per second on average over READ_SECONDS, or over TIGHT_READ_SECONDS while others
# stand in line. A shorter time would also end honest readers: a kernel with a large, full buffer acknowledges what was
# read in steps of 400 kB.
READ_RATE = 16_384
READ_SECONDS = 30.0
TIGHT_READ_SECONDS = 2.0
# Seconds of silence. No answer is silent for so long: `/mine` and `/jobs` wait for 60 s at most.
IDLE_SECONDS = 75.0

_LOOK_SECONDS = 1.0
# A look at a thousand connections takes 15 ms. While nobody stands in line, looks take at most this part of a core.
_LOOK_SHARE = 0.005
# Memory of large answers is given back to the system at most this often.
_GIVE_BACK_SECONDS = 5.0
_BODIES_LOOK_SECONDS = 0.2
# Seconds from handing an early answer to the server until the kernel has it.
_SENT_SECONDS = 0.02
_SENT_LOOKS = 5
# A connection that has other answers to send before the early one is recognised once it has sent all of them.
_STUCK_SECONDS = 3.0
_QUIET_SECONDS = 1.5
# Early answers are told apart by their lengths, so each gets random padding of up to this many bytes.
_MOST_PADDING = 4096

# Offsets in <linux/tcp.h>, struct tcp_info.
_UNACKED, _LAST_DATA_SENT, _LAST_DATA_RECEIVED, _BYTES_ACKED, _NOT_SENT = 24, 44, 52, 120, 144
_BYTES_SENT, _BYTES_SENT_AGAIN = 200, 208
_LENGTH = _BYTES_SENT_AGAIN + 8


class Deadlines:
    """The request bodies that are arriving, and which of them take too long."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        # Granian's protocol object of a request -> when its body began to arrive, its Content-Length, and its client's
        # address. The gate adds an entry, and removes it when the body has arrived.
        self.arriving: dict[Any, tuple[float, int, str]] = {}

    def is_running(self, protocol: Any) -> bool:
        """Whether the body of this request is still arriving."""
        return protocol in self.arriving

    def held_by(self, address: str) -> int:
        """How many of the bodies come from an address."""
        return sum(each == address for _, _, each in list(self.arriving.values()))

    def overdue(self) -> list[Any]:
        """The protocol objects of the requests whose bodies take too long."""
        now, tight = time.monotonic(), self._budget.is_tight(Kind.BODY)
        late = []
        for protocol, (began, size, _) in list(self.arriving.items()):
            allowed = min(BODY_SECONDS, TIGHT_BODY_SECONDS + size / TIGHT_BODY_RATE) if tight else BODY_SECONDS
            if now - began > allowed:
                late.append(protocol)
        return late


@dataclass(frozen=True, slots=True)
class Facts:
    """What the kernel knows of one connection."""

    silent: float  # seconds since data was sent or received
    sent_ago: float  # seconds since data was sent
    pending: bool  # there is data that the client has not taken
    taken: int  # bytes that the client's machine has acknowledged since the connection began
    written: int  # bytes that the server has handed to the kernel since the connection began


@dataclass(frozen=True, slots=True)
class Early:
    """An answer to a request whose body has not arrived."""

    at: float  # when the server got it, on the monotonic clock
    length: int  # bytes on the wire
    before: dict[Any, int]  # peer -> bytes that its connection had been handed until then


def pause_after(took: float, *, is_tight: bool) -> float:
    """Seconds from one look at all connections to the next.

    Args:
        took: processor time of the last look, in seconds.
        is_tight: somebody stands in line for a place, so slow readers are ended early.
    """
    return _LOOK_SECONDS if is_tight else max(_LOOK_SECONDS, took / _LOOK_SHARE)


class Watch:
    """Watches the connections of this process on one port."""

    def __init__(self, port: int, budget: Budget, deadlines: Deadlines, idle_seconds: float = IDLE_SECONDS) -> None:
        self._port = port
        self._budget = budget
        self._deadlines = deadlines
        self._idle_seconds = idle_seconds
        self.ended = dict.fromkeys(REASONS, 0)  # since the process began
        self._reading: dict[Any, tuple[float, int]] = {}  # peer -> (since when data waits, bytes taken then)
        self._answered: dict[Any, Early] = {}  # protocol -> its early answer, until its thread is free again
        self._metrics = BudgetMetrics(budget, self.ended)

    def start(self) -> None:
        """Watch from now on, in a thread of its own."""
        threading.Thread(target=self._run, name="connections", daemon=True).start()

    def _run(self) -> None:
        looked_at = given_back_at = took = 0.0
        given_back = 0  # how many large answers had ended then
        while True:
            try:
                self.end_slow_bodies()
                if time.monotonic() - looked_at >= pause_after(took, is_tight=self._budget.is_tight(Kind.ANSWER)):
                    looked_at, spent = time.monotonic(), time.thread_time()
                    self.end_idle_and_slow_readers()
                    took = time.thread_time() - spent
                    self._metrics.show()
                if self._budget.answers != given_back and time.monotonic() - given_back_at >= _GIVE_BACK_SECONDS:
                    given_back, given_back_at = self._budget.answers, time.monotonic()
                    heap.give_back()
            except OSError as error:  # for example, no file descriptor is left; the next turn may find one
                _log.warning("connections_unknown", error=error.strerror)
            except Exception as error:  # a bug; if this thread ended, slow clients would hold theirs for ever
                _log.exception("bug", error=type(error).__name__)
            time.sleep(_BODIES_LOOK_SECONDS)

    def end_slow_bodies(self) -> None:
        """Answer requests whose bodies take too long, and free the threads that read them.

        Granian does not tell which connection a request came on. It is the one that has since been handed exactly as
        many bytes as the answer has.
        """
        late = [protocol for protocol in self._deadlines.overdue() if protocol not in self._answered]
        if late:
            before = {peer: facts.written for peer, facts, _ in self._connections()}
            for protocol in late:
                answer = problem(408, "body_too_slow", f"A body has {BODY_SECONDS:g} seconds at most.")
                body = answer.get_data() + b" " * random.randrange(_MOST_PADDING)
                headers = [("Content-Type", "application/problem+json"), ("Connection", "close")]
                self._answered[protocol] = Early(time.monotonic(), _wire_length(408, headers, body), before)
                protocol.response_bytes(408, headers, body)
            self.ended["slow_body"] += len(late)
            _log.info("slow_bodies_ended", count=len(late))
        for _ in range(_SENT_LOOKS if late else 1):
            if late:
                time.sleep(_SENT_SECONDS)
            self._answered = {one: early for one, early in self._answered.items() if self._deadlines.is_running(one)}
            if not self._answered:
                return
            self._end_answered_early()

    def _end_answered_early(self) -> None:
        now = time.monotonic()
        for peer, facts, connection in self._connections():
            for early in self._answered.values():
                grown = facts.written - early.before.get(peer, facts.written)
                is_it = grown == early.length
                # The connection had other answers to send, too: it was sent more than enough, and has been quiet since.
                may_be_it = (
                    now - early.at > _STUCK_SECONDS
                    and grown > early.length
                    and _QUIET_SECONDS < facts.sent_ago < now - early.at
                )
                if is_it or may_be_it:
                    with suppress(OSError):
                        connection.shutdown(socket.SHUT_RD)  # the body ends here; the answer is still sent
                    break

    def end_idle_and_slow_readers(self) -> None:
        """End connections on which nothing is sent either way, and those whose client reads too slowly."""
        now, before = time.monotonic(), self._reading
        patience = TIGHT_READ_SECONDS if self._budget.is_tight(Kind.ANSWER) else READ_SECONDS
        self._reading = {}
        for peer, facts, connection in self._connections():
            if facts.pending:
                since, taken = before.get(peer, (now, facts.taken))
                if now - since >= patience:
                    if facts.taken - taken < READ_RATE * (now - since):
                        self._end(connection, "slow_reader")
                        continue
                    since, taken = now, facts.taken
                self._reading[peer] = since, taken
            elif facts.silent > self._idle_seconds:
                self._end(connection, "idle")

    def _end(self, connection: socket.socket, reason: str) -> None:
        with suppress(OSError):  # it ended meanwhile
            connection.shutdown(socket.SHUT_RDWR)
            self.ended[reason] += 1

    def _connections(self) -> Iterator[tuple[Any, Facts, socket.socket]]:
        """Each connection of this process on the port: its peer's address, its facts, and a duplicate of its socket."""
        if sys.platform != "linux":
            return
        for name in os.listdir("/proc/self/fd"):
            try:
                # A duplicate, since the server may close this descriptor and reuse its number at any time.
                copy = os.dup(int(name))
            except OSError:
                continue
            try:
                connection = socket.socket(fileno=copy)
            except OSError:  # not a socket
                os.close(copy)
                continue
            with connection:
                peer = self._peer_of(connection)
                if peer is not None:
                    try:
                        yield peer, _facts(connection), connection
                    except OSError:
                        continue  # it ended meanwhile

    def _peer_of(self, connection: socket.socket) -> Any:
        if connection.family not in (socket.AF_INET, socket.AF_INET6) or connection.type != socket.SOCK_STREAM:
            return None
        try:
            return connection.getpeername() if connection.getsockname()[1] == self._port else None
        except OSError:  # a listening socket has no peer
            return None


def _facts(connection: socket.socket) -> Facts:
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _LENGTH)
    sent, received, unacked = (
        struct.unpack_from("I", info, offset)[0] for offset in (_LAST_DATA_SENT, _LAST_DATA_RECEIVED, _UNACKED)
    )
    not_sent = struct.unpack_from("I", info, _NOT_SENT)[0] if len(info) >= _LENGTH else 0
    taken = struct.unpack_from("Q", info, _BYTES_ACKED)[0] if len(info) >= _LENGTH else 0
    again = struct.unpack_from("Q", info, _BYTES_SENT_AGAIN)[0] if len(info) >= _LENGTH else 0
    written = struct.unpack_from("Q", info, _BYTES_SENT)[0] - again + not_sent if len(info) >= _LENGTH else 0
    return Facts(min(sent, received) / 1000, sent / 1000, bool(unacked or not_sent), taken, written)


def _wire_length(status: int, headers: list[tuple[str, str]], body: bytes) -> int:
    """Bytes of an answer on the wire, with the headers that granian adds."""
    added = [("server", "granian"), ("content-length", str(len(body))), ("date", "Thu, 01 Jan 1970 00:00:00 GMT")]
    head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
    fields = (f"{name}: {value}\r\n" for name, value in [*headers, *added])
    return len(head) + sum(map(len, fields)) + len("\r\n") + len(body)
