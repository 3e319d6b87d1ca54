"""A recording as lines of text, for a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from lab.recording import Event
from services.system.quantities import rate_text

GENESIS_HEIGHT = 1
_HASH = 8  # digits of a hash that are shown


def lines_of(events: Sequence[Event]) -> Iterator[str]:
    """A line for each event that a person wants to see: not each node's hearing of each block."""
    for event in events:
        words = _WORDS.get(event.kind)
        if words is not None and (text := words(event.fields)):
            yield f"{event.t:10.3f}  {text}"


def _begin(fields: dict[str, Any]) -> str:
    nodes = "1 node" if fields["nodes"] == 1 else f"{fields['nodes']} nodes"
    return f"{fields['scenario']}, {fields['world']}, seed {fields['seed']}, {nodes}"


def _block(fields: dict[str, Any]) -> str:
    if fields["height"] == GENESIS_HEIGHT:
        return ""
    finder = "a stranger" if fields["finder"] is None else f"node {fields['finder']}"
    count = len(fields["transactions"])
    paid = f" with {count} transaction{'s' * (count != 1)}" if count else ""
    return f"{finder} found block {fields['height']} {_short(fields['hash'])} on {_short(fields['parent'])}{paid}"


def _tip(fields: dict[str, Any]) -> str:
    """Only reorganisations: a tip that merely grows follows from the block."""
    count = len(fields["detached"])
    if not count:
        return ""
    blocks = "1 block" if count == 1 else f"{count} blocks"
    return f"node {fields['node']} reorganised to {_short(fields['hash'])}: {blocks} detached"


def _limit(fields: dict[str, Any]) -> str:
    rate = fields["hash_rate"]
    return f"node {fields['node']} has " + ("no hash-rate limit" if rate is None else f"at most {rate_text(rate)}")


def _link(fields: dict[str, Any]) -> str:
    link = f"link {fields['from']} to {fields['to']}"
    if fields["cut"]:
        return f"{link} is cut"
    rate = f", {fields['rate']:g} bytes/s" if fields["rate"] is not None else ""
    return f"{link}: latency {fields['latency']:g} s, jitter {fields['jitter']:g} s{rate}"


def _groups(fields: dict[str, Any]) -> str:
    groups = fields["groups"]
    if len(groups) == 1:
        return "all nodes reach each other"
    return "partition: " + " | ".join(" ".join(map(str, group)) for group in groups)


def _verdict(fields: dict[str, Any]) -> str:
    value = "" if fields["value"] is None else f": {fields['value']:.4g}"
    return f"{'held' if fields['held'] else 'DID NOT HOLD'}: {fields['claim']}{value}"


def _short(text: str) -> str:
    return text[:_HASH]


_WORDS: dict[str, Callable[[dict[str, Any]], str]] = {
    "begin": _begin,
    "block": _block,
    "tip": _tip,
    "limit": _limit,
    "link": _link,
    "groups": _groups,
    "verdict": _verdict,
    "withheld": lambda fields: f"node {fields['node']} withholds {_short(fields['hash'])}",
    "published": lambda fields: f"node {fields['node']} publishes {_short(fields['hash'])}",
    "invalid": lambda fields: f"node {fields['node']} refused {_short(fields['hash'])}: {fields['rule']}",
    "payment": lambda fields: f"node {fields['node']} pays {fields['amount']} to {fields['to']}",
    "node": lambda fields: f"node {fields['node']} is {fields['state']}",
    "strategy": lambda fields: f"node {fields['node']} mines by the strategy {fields['name'] or 'honest'}",
    "said": lambda fields: str(fields["text"]),
}
