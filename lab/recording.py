"""Everything that happened in a lab, in order: one JSON object a line. The schema is stable; `docs/lab.md` lists it.

The first line is a `begin` with the version of the schema, the last an `end` with the SHA-256 of all lines before it:
a recording that was cut or altered is recognised. Between them stand events; each has `t`, seconds since the lab began,
never less than before, and `event`, its kind:

    block      hash, parent, height, chainwork (text), finder (node or null), timestamp, transactions (ids)
    heard      node, hash: the node has stored the block
    withheld   node, hash: the node keeps its block to itself
    published  node, hash: the node shows a block that it had withheld
    tip        node, hash, detached, attached: hashes that left and entered the node's chain, in order of height
    invalid    node, hash, rule: the node refused the block, which no node has; its own event comes before
    payment    node, id, to, amount (text, coins)
    node       node, state: running, stopped or killed
    limit      node, hash_rate: hashes per second, or null
    strategy   node, name: or null
    link       from, to, latency, jitter, rate (or null), cut
    groups     groups: lists of nodes that reach each other; one list when healed
    said       text
    verdict    claim, held, value, low, high, expected
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TextIO

from shared.errors import InputError
from shared.wire import parse

VERSION = 1
# Characters. A node that changes to another branch names each block of both in one line.
MAX_LINE = 20_000_000
GREATEST = 1e300  # that a figure may be, in size

# kind -> its fields
FIELDS: dict[str, frozenset[str]] = {
    "begin": frozenset({"recording", "scenario", "world", "seed", "nodes", "spec", "parameters"}),
    "block": frozenset({"hash", "parent", "height", "chainwork", "finder", "timestamp", "transactions"}),
    "heard": frozenset({"node", "hash"}),
    "withheld": frozenset({"node", "hash"}),
    "published": frozenset({"node", "hash"}),
    "tip": frozenset({"node", "hash", "detached", "attached"}),
    "invalid": frozenset({"node", "hash", "rule"}),
    "payment": frozenset({"node", "id", "to", "amount"}),
    "node": frozenset({"node", "state"}),
    "limit": frozenset({"node", "hash_rate"}),
    "strategy": frozenset({"node", "name"}),
    "link": frozenset({"from", "to", "latency", "jitter", "rate", "cut"}),
    "groups": frozenset({"groups"}),
    "said": frozenset({"text"}),
    "verdict": frozenset({"claim", "held", "value", "low", "high", "expected"}),
    "end": frozenset({"sha256"}),
}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and -GREATEST <= value <= GREATEST


def _is_whole(value: Any) -> bool:
    return _is_number(value) and isinstance(value, int)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _or_none(one: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or one(value)


def _list_of(one: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(map(one, value))


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


# field -> whether a value fits; of what is not named here, only a text does
_FITS: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("recording", "seed", "nodes", "node", "height", "from"), _is_whole),
    **dict.fromkeys(("timestamp", "latency", "jitter"), _is_number),
    **dict.fromkeys(("value", "low", "high", "expected", "hash_rate", "rate"), _or_none(_is_number)),
    **dict.fromkeys(("transactions", "detached", "attached"), _list_of(_is_text)),
    **dict.fromkeys(("spec", "parameters"), _is_object),
    **dict.fromkeys(("cut", "held"), lambda value: isinstance(value, bool)),
    "finder": _or_none(_is_whole),
    "name": _or_none(_is_text),
    "groups": _list_of(_list_of(_is_whole)),
    "to": lambda value: _is_whole(value) or _is_text(value),  # a node of a link, or the address of a payment
}


class BadRecording(Exception):
    """A recording cannot be read: one sentence that names the line."""


@dataclass(frozen=True, slots=True)
class Event:
    """One line: `t` seconds after the beginning, the kind, and its fields as JSON values."""

    t: float
    kind: str
    fields: dict[str, Any]

    def to_object(self) -> dict[str, Any]:
        return {"t": round(self.t, 6), "event": self.kind, **self.fields}


class Recorder:
    """Writes a recording, and keeps its events for those who ask. Not for several threads at once.

    Args:
        out: where the lines go.
        tell: called with each event as it is written.
    """

    def __init__(self, out: TextIO | None = None, tell: Callable[[Event], None] | None = None) -> None:
        self.events: list[Event] = []
        self._out = out
        self._tell = tell
        self._digest = hashlib.sha256()
        self._ended = False
        self._failure: OSError | None = None

    def note(self, t: float, kind: str, **fields: Any) -> Event:
        """Write an event.

        Raises:
            ValueError: the kind has other fields, or the recording has ended.
            OSError: it cannot be written, or an event before it could not.
        """
        self.require_written()
        if self._ended or FIELDS.get(kind) != fields.keys():
            raise ValueError(f"a recording has no event {kind} with {sorted(fields)} here")
        if self.events:
            t = max(t, self.events[-1].t)
        event = Event(t, kind, fields)
        self.events.append(event)
        line = json.dumps(event.to_object(), separators=(",", ":"), ensure_ascii=True, allow_nan=False) + "\n"
        self._digest.update(line.encode())
        if self._out is not None:
            try:
                self._out.write(line)
            except OSError as error:
                self._failure = error
                raise
        if self._tell is not None:
            self._tell(event)
        return event

    def require_written(self) -> None:
        """Raises `OSError`: an event could not be written. The thread that met the error may have passed over it."""
        if self._failure is not None:
            raise self._failure

    def end(self) -> None:
        """Write the last line. Its time is that of the line before it, so that nothing in it can be altered."""
        self.note(self.events[-1].t if self.events else 0.0, "end", sha256=self._digest.hexdigest())
        self._ended = True
        if self._out is not None:
            self._out.flush()


def read_recording(lines: Iterable[str]) -> list[Event]:
    """The events of a recording, `begin` and `end` included.

    Raises:
        BadRecording: it is of another version, was cut or altered, or a line is not an event.
    """
    events: list[Event] = []
    digest = hashlib.sha256()
    for number, line in enumerate(lines, 1):
        if events and events[-1].kind == "end":
            raise BadRecording(f"Line {number}: the recording goes on after its end.")
        event = _read_line(number, line)
        _check_place(number, event, events)
        if event.kind == "end" and event.fields["sha256"] != digest.hexdigest():
            raise BadRecording("The recording was altered: its lines do not have the SHA-256 that its last line names.")
        digest.update(line.encode())
        events.append(event)
    if not events:
        raise BadRecording("The recording is empty.")
    if events[-1].kind != "end":
        raise BadRecording(f"The recording was cut: line {len(events)} is its last one, and is not its end.")
    return events


def _check_place(number: int, event: Event, before: list[Event]) -> None:
    """Raise `BadRecording` if the event cannot follow the ones before it."""
    if (event.kind == "begin") != (not before):
        raise BadRecording(f"Line {number}: a recording has one `begin`, in its first line.")
    if event.kind == "begin" and event.fields["recording"] != VERSION:
        raise BadRecording(f"The recording has version {event.fields['recording']!r}; this program reads {VERSION}.")
    if event.kind == "end" and event.t != before[-1].t:
        raise BadRecording(f"Line {number}: the end has another time than the line before it.")
    if before and event.t < before[-1].t:
        raise BadRecording(f"Line {number}: time runs backwards.")


def _read_line(number: int, line: str) -> Event:
    if len(line) > MAX_LINE:
        raise BadRecording(f"Line {number} has more than {MAX_LINE:,} characters.")
    try:
        fields = parse(line.encode(), floats=True)
    except InputError:
        raise BadRecording(f"Line {number} is not a JSON object.") from None
    if not isinstance(fields, dict):
        raise BadRecording(f"Line {number} is not a JSON object.")
    t, kind = fields.pop("t", None), fields.pop("event", None)
    if not isinstance(kind, str) or FIELDS.get(kind) != fields.keys():
        raise BadRecording(f"Line {number} is not an event of a recording.")
    for name, value in fields.items():
        if not _FITS.get(name, _is_text)(value):
            raise BadRecording(f"Line {number}: `{name}` of a {kind} cannot be {str(value)[:40]!r}.")
    if isinstance(t, bool) or not isinstance(t, int | float) or not (0 <= t < math.inf):
        raise BadRecording(f"Line {number}: `t` is not a number of seconds.")
    return Event(float(t), kind, fields)


def verdicts(events: Iterable[Event]) -> Iterator[dict[str, Any]]:
    """The verdicts of a recording, as objects."""
    return (event.fields for event in events if event.kind == "verdict")
