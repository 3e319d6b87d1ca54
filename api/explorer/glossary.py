"""The glossary, from the files in `words`: for its page in the explorer, and for docs/glossary.md, which it writes.

python -m api.explorer.glossary > docs/glossary.md
"""

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from markupsafe import Markup, escape

_WORDS = Path(__file__).parent / "words"
_FILES = ("course.toml", "quarry.toml")

_HEAD = """\
# Glossary

The words that Quarry's code, documentation, JSON, messages and its [course](explorer.md#the-course) use, one word for
one thing, with an example, and where each thing is implemented or shown. Read it before you name something. Where a
published format keeps another name, the entry says so. Every node shows this page at `/learn/glossary`.

`python -m api.explorer.glossary` makes it from `api/explorer/words/course.toml` and `api/explorer/words/quarry.toml`.
"""
_FOOT = """
Hashes are 32 bytes inside the code. Outside they are lower-case hex, without `0x` except in JSON-RPC.
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One word. All texts are Markdown of one line, with code in backticks and links between pages of `docs`."""

    word: str
    meaning: str
    example: str
    where: str


@dataclass(frozen=True, slots=True)
class Part:
    """Words that belong together, in alphabetical order."""

    title: str
    lead: str
    entries: tuple[Entry, ...]


@cache
def parts() -> tuple[Part, ...]:
    """The whole glossary."""
    return tuple(_read(_WORDS / name) for name in _FILES)


def _read(path: Path) -> Part:
    value = tomllib.loads(path.read_text("utf-8"))
    return Part(value["title"], value["lead"], tuple(Entry(**entry) for entry in value["entry"]))


def page() -> str:
    """The page as Markdown."""
    return _HEAD + "".join(_table(part) for part in parts()) + _FOOT


def _table(part: Part) -> str:
    rows = "".join(f"| {it.word} | {it.meaning} | {it.example} | {it.where} |\n" for it in part.entries)
    head = "| word | meaning | example | where |\n| --- | --- | --- | --- |\n"
    return f"\n## {part.title}\n\n{part.lead}\n\n{head}{rows}"


# --- For the explorer's page ---


def anchor(word: str) -> str:
    """The id of a word on the page: "transactions-root"."""
    return re.sub(r"[^a-z0-9]+", "-", word.lower()).strip("-")


def prose(text: str) -> Markup:
    """A text of an entry as HTML: code from backticks; links without their targets, which are files."""
    unlinked = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    return Markup(re.sub(r"`([^`]*)`", r"<code>\1</code>", str(escape(unlinked))))


if __name__ == "__main__":
    print(page(), end="")
