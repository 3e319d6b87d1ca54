"""The desk of a node: it deals with what mining workers hand in. Only processes of the node do this.

Walk: a worker hands in a proof → `Desk.work` checks it and has the block sealed (`Rounds.seal`) → the desk rests, if
transactions should gather, and opens the next round. A worker that finds a template to be old hands in that, and the
desk renews it.

A proof is acknowledged once it is in the inbox. A process that is killed while it deals with one loses nothing:
`recover` finds what it left behind. Several processes may deal with the same entry, since an append is compared with
the tip. Nothing that is handed in is believed (services/store/inbox.py).
"""

from typing import Final

import structlog

from services.connections.servers import RedisError
from services.mining.rounds import Rounds
from services.ports import Clock
from services.store.inbox import Entry, FoundProof, InboxStore, OldTemplate, read_entry
from services.store.mining import MiningStore
from services.store.searches import Claim
from services.system import tracing
from shared.errors import NodeError
from shared.proof import accepts

_log = structlog.get_logger(__name__)

# Seconds between two looks at the inbox while the desk rests. A request may open a round meanwhile.
_REST_LOOK_SECONDS: Final = 0.01
# False entries in a row of which the log says something: the first, and each that follows so many others.
_LOUD: Final = 1000


class Desk:
    """The desk of one node in one process. One thread at a time may use it; only `sealed` may be called from any."""

    def __init__(self, inbox: InboxStore, mining: MiningStore, rounds: Rounds, clock: Clock) -> None:
        self.inbox = inbox
        self._mining = mining
        self._rounds = rounds
        self._clock = clock
        self._left: frozenset[bytes] = frozenset()  # entries that were being dealt with at the last `recover`
        self._rest: float | None = None  # seconds in which transactions gather; then the next round is opened
        self._refused = 0

    def work(self, seconds: float) -> bool:
        """Wait up to `seconds` for an entry and deal with it, and with all that follow it. Returns whether one came.

        While it rests, it opens the next round when the rest is over: in this call, or in one that follows.
        """
        came, slept = False, 0.0
        while True:
            entry = self.inbox.take(0.0 if came or self._rest is not None else seconds)
            if entry is not None:
                came = True
                self._deal(entry)
            elif self._rest is None or slept > seconds:
                return came
            elif self._rest > 0:
                nap = min(self._rest, _REST_LOOK_SECONDS)
                self._clock.sleep(nap)
                self._rest -= nap
                slept += nap
            else:
                self._rest = None
                self._open()

    def work_off(self) -> bool:
        """Deal with all that is in the inbox, without waiting. Returns whether there was anything."""
        return self.work(0.0)

    def recover(self) -> int:
        """Deal with what was already being dealt with at the last call: that process was killed, or is slow. To be
        called about once a second.

        Returns:
            how many entries those are.
        """
        now = self.inbox.left_behind()
        again = [entry for entry in now if entry in self._left]
        for entry in again:
            self._deal(entry)
        self._left = frozenset(now).difference(again)
        return len(again)

    def sealed(self) -> None:
        """Have the next round opened after a block that another thread of this process has sealed."""
        if self._rounds.rest() > 0:
            self.inbox.wish()  # the desk opens it after the rest, perhaps in another process
        else:
            self._open()

    def _deal(self, text: bytes) -> None:
        """Deal with one entry that was taken."""
        entry = read_entry(text)
        try:
            if entry is None:
                self._refuse("It cannot be read.")
            else:
                self._answer(entry)
        except NodeError as error:
            _log.error("inbox_entry_failed", entry=type(entry).__name__, reason=str(error))
        except RedisError:
            raise  # it stays, and `recover` finds it
        except Exception:  # it would fail for ever
            _log.exception("bug")
        self.inbox.done(text)

    def _answer(self, entry: Entry) -> None:
        if isinstance(entry, OldTemplate):
            self._rounds.renew_old(entry.round_id, entry.version)
        elif not isinstance(entry, FoundProof) or self._seal(entry):
            self._rest = self._rounds.rest() or None
            if self._rest is None:
                self._open()

    def _seal(self, found: FoundProof) -> bool:
        """Seal the round whose proof was found. False: it is of no use, or false."""
        kept = self._mining.template(found.round_id, found.version)
        if kept is None:
            return False  # the round has ended, or its template does not count any more
        template = kept[1]
        if not accepts(template.seal, template.difficulty, found.proof):
            self._refuse("It is no proof for the round's template.")
            return False
        claim = Claim(found.round_id, found.version, template.seal, template.difficulty, range(0))
        with tracing.step("seal", self._rounds.trace_of(found.round_id), worker=found.worker):
            return self._rounds.seal(claim, found.proof, found.worker) is not None

    def _open(self) -> None:
        """Open the next round, if one is wanted. From then on, who admits a transaction opens it.

        Until the round is open, who admits one leaves it to the desk. Otherwise all who do so while the template is
        made would make templates as well.
        """
        try:
            opened = self._rounds.ensure_open()
        finally:
            self.inbox.rested()
        if opened is None:
            self._rounds.ensure_open()  # a transaction may have come in between, and was left to the desk

    def _refuse(self, reason: str) -> None:
        self.inbox.refuse()
        if self._refused % _LOUD == 0:
            _log.warning("inbox_entry_refused", reason=reason, refused_so_far=self._refused)
        self._refused += 1
