"""How values look on a page: text of strangers made harmless, and numbers, amounts and times made readable."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup, escape

from services.system.quantities import hashes_text, rate_text, scaled, time_left
from services.system.visible import is_hidden, named

_STEPS = ((60, 1, "s"), (3600, 60, "min"), (86_400, 3600, "h"), (float("inf"), 86_400, "d"))


def visible(value: Any, limit: int = 10_000) -> Markup:
    """Text of strangers as HTML: escaped, isolated from the direction of its surroundings, invisible characters named.

    Args:
        limit: how many characters are shown; the others are only counted.
    """
    text = value if isinstance(value, str) else str(value)
    parts: list[str] = []
    plain = ""
    for character in text[:limit]:
        if is_hidden(character):
            parts += [str(escape(plain)), f'<span class="codepoint">U+{ord(character):04X}</span>']
            plain = ""
        else:
            plain += character
    parts.append(str(escape(plain)))
    if len(text) > limit:
        parts.append(f'<span class="codepoint">and {len(text) - limit} more</span>')
    return Markup("<bdi>" + "".join(parts) + "</bdi>")


def plain(value: Any, limit: int = 200) -> str:
    """Text of strangers for attributes, which hold no elements: at most `limit` characters, invisible ones named."""
    text = value if isinstance(value, str) else str(value)
    return named(text[:limit])


def exact(value: str) -> Markup:
    """A text that scripts compare, for attributes: unchanged, with invisible characters as references."""
    return Markup("".join(f"&#{ord(item)};" if is_hidden(item) else str(escape(item)) for item in value))


def short(text: str, head: int = 8, tail: int = 6) -> str:
    """A hash or an address with its middle left out."""
    return text if len(text) <= head + tail + 1 else f"{text[:head]}…{text[-tail:]}"


def number(value: float | int | str) -> str:
    """A whole number with thousands separators."""
    return f"{int(value):,}"


def amount(text: Any) -> str:
    """An amount in coins with thousands separators; anything that is not an amount unchanged."""
    if not isinstance(text, str):
        return str(text)
    whole, dot, fraction = text.partition(".")
    return f"{int(whole):,}{dot}{fraction}" if whole.isascii() and whole.isdigit() and len(whole) < 80 else text


def size(count: int) -> str:
    """A number of bytes with three digits and a unit."""
    return scaled(count, (("MB", 1e6), ("kB", 1e3)), "B")


def percent(share: float) -> str:
    """A probability from 0 to 1, never as certain."""
    return "over 99%" if share >= 0.995 else f"{100 * share:.0f}%"


def span(seconds: float) -> str:
    """A duration: "40 ms", "12 s", "3 min", "5 h", "2 d"."""
    seconds = max(seconds, 0.0)
    if 0 < seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    unit, name = next((unit, name) for bound, unit, name in _STEPS if seconds < bound)
    return f"{seconds / unit:.0f} {name}"


def moment(seconds: float) -> str:
    """A Unix time as a date and time in UTC; as a number if it is outside the calendar."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return f"{seconds:.0f}"


def when(seconds: float, now: float) -> Markup:
    """A Unix time as a `time` element, in words relative to `now`. Scripts keep the words current."""
    ago = now - seconds
    words = f"{span(ago)} ago" if ago >= 1 else "now" if ago > -1 else f"in {span(-ago)}"
    full = moment(seconds)
    return Markup('<time datetime="{}Z" data-time="{}" title="{} UTC">{}</time>').format(
        full.replace(" ", "T"), int(seconds), full, words
    )


FILTERS: dict[str, Callable[..., Any]] = {
    "visible": visible, "plain": plain, "exact": exact, "short": short, "number": number, "amount": amount,
    "size": size, "rate": rate_text, "percent": percent, "time_left": time_left, "hashes": hashes_text, "span": span,
    "moment": moment, "when": when,
}  # fmt: skip
