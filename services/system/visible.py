"""Making untrusted text safe to show: on a terminal, in a log, in a metric, on a page.

Control characters act on the terminal, line breaks forge lines, bidirectional controls change the order of what is
shown, and invisible characters hide. All of them are replaced by their names. JSON is left alone: it has escapes.
"""

import re
import unicodedata

# Letters and marks by category that are shown as nothing or as a blank.
_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0") | {
    chr(code) for code in (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))
}
_SEARCH_INVISIBLE = re.compile(f"[{''.join(sorted(_INVISIBLE))}]").search
# Controls, formats (bidirectional ones, zero-width ones, tags), private use, unassigned, surrogates, line separators.
_HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Co", "Cn", "Cs", "Zl", "Zp"})
_SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


def is_hidden(character: str) -> bool:
    """Whether a character acts, is invisible, or looks like a common space."""
    if character in _INVISIBLE:
        return True
    category = unicodedata.category(character)
    return category in _HIDDEN_CATEGORIES or (category == "Zs" and character != " ")


def is_plain(text: str) -> bool:
    """Whether no character of `text` is hidden."""
    # Printable, to Python, are all categories but the hidden ones, and of the spaces the common one.
    return text.isprintable() and _SEARCH_INVISIBLE(text) is None


def escaped(text: str, limit: int | None = None) -> str:
    r"""`text` with every hidden character as Python writes it: `\n`, `\x1b`, `\u202e`, `\U000e0041`.

    Args:
        limit: characters to show; of the rest only the number is given. None: all.
    """
    cut = 0 if limit is None else max(len(text) - limit, 0)
    if cut:
        text = text[:limit]
    if not is_plain(text):
        text = "".join(_name(item) if is_hidden(item) else item for item in text)
    return f"{text} … and {cut:,} more characters" if cut else text


def named(text: str) -> str:
    """`text` with every hidden character as `U+202E`, for formats in which a backslash has a meaning."""
    return text if is_plain(text) else "".join(f"U+{ord(item):04X}" if is_hidden(item) else item for item in text)


def _name(character: str) -> str:
    code = ord(character)
    if code < 0x100:
        return _SHORT.get(character) or f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
