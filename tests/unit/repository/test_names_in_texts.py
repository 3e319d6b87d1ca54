"""What docs, docstrings and comments name in backticks exists.

A name exists if it is a word of the code, apart from comments and docstrings. A path must be a file, and what follows a
class's name and a dot must be a member of that class.
"""

import ast
import bisect
import itertools
import re
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from services.system.programs import ROOT

PRODUCT = ("shared/", "services/", "worker/", "api/", "quarrynode/")
PAGES = ("docs/", "README.md", "CONTRIBUTING.md", "SECURITY.md", "tests/README.md")
# Generated: its names are those of the benchmarks that were run.
GENERATED = ("docs/benchmarks/",)
CODE = (".lua", ".service", ".yml", ".yaml", ".toml", ".js", ".html", ".conf", ".css", ".json", ".txt")
ROOMS = "shared|services|worker|api|quarrynode|tests|docs|benchmarks|deploy"
PATH = rf"\b[a-z_]+\.lua\b|\b(?:{ROOMS})/[\w./-]+\.(?:py|lua|md|toml|yml|conf|js|html)\b"
# Foreign names, examples, and names that are put together at run time.
ALLOWED = {
    "/block/0x2a", "1_000", "DATA/SPEC/NODE/logs", "DATA/SPEC/NODE/valkey", "JsonRpcProvider", "QUARRY_…_SERVICE_HOST",
    "m/44'/60'/0'/0/INDEX", "quarry_broker", "quarry_cluster", "quarry_http_refused_total", "quarry_node1",
    "quarry_valkey1", "unix://[USER:PASSWORD@]/PATH/OF/SOCKET[?db=DATABASE]", "…ByHash",
}  # fmt: skip


# A comment, a string or a word of Python. The module `tokenize` finds the same in three times the time.
LEXEME = re.compile(
    r"""
    (?P<comment> \#[^\n]* )
    | (?P<string> (?:\b[A-Za-z]{1,2})? (?:
        "{3} (?:[^\\]|\\.)*? "{3} | '{3} (?:[^\\]|\\.)*? '{3} | " (?:[^"\\\n]|\\.)* " | ' (?:[^'\\\n]|\\.)* '
      ) )
    | (?P<word> \w+ )
    """,
    re.DOTALL | re.VERBOSE,
)


class Named(NamedTuple):
    """Something in backticks."""

    text: str
    place: str


@cache
def files() -> tuple[str, ...]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return tuple(name for name in listed.splitlines() if (ROOT / name).is_file())


def documented(tree: ast.Module) -> Iterator[ast.Constant]:
    """The docstrings of a module. Only statements are looked through, as expressions are many and have none."""
    waiting: list[Any] = [tree]
    while waiting:
        node = waiting.pop()
        body = getattr(node, "body", None)
        if body and isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                if isinstance(first.value.value, str):
                    yield first.value
        for inside in ("body", "orelse", "finalbody", "handlers", "cases"):
            waiting.extend(getattr(node, inside, ()))


def read(name: str) -> tuple[set[str], list[tuple[str, int]]]:
    """The words of a Python file's code, and its texts with their lines."""
    source = Path(ROOT / name).read_text()
    docstrings = list(documented(ast.parse(source)))
    texts = [(str(item.value), item.lineno) for item in docstrings]
    begins = [0, *itertools.accumulate(map(len, source.splitlines(keepends=True)))]
    starts = {begins[item.lineno - 1] + item.col_offset for item in docstrings}
    words: set[str] = set()
    for found in LEXEME.finditer(source):
        if found.lastgroup == "comment":
            texts.append((found[0], bisect.bisect_right(begins, found.start())))
        elif found.lastgroup == "word":
            words.add(found[0])
        elif found.start() not in starts:
            words.update(re.findall(r"\w+", found[0]))
    return words, texts


@cache
def vocabulary() -> tuple[frozenset[str], tuple[Named, ...], tuple[Named, ...]]:
    """All words of the code; what the texts have in backticks; and the paths in them, in backticks or not."""
    words: set[str] = set()
    named: list[Named] = []
    paths: list[Named] = []

    def note(text: str, place: str) -> None:
        plain = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
        named.extend(Named(found, place) for found in re.findall(r"`([^`\n]+)`", plain))
        unlinked = re.sub(r"\]\([^)]*\)", "]", plain)  # links are relative to their page
        paths.extend(Named(found, place) for found in re.findall(PATH, unlinked))

    for name in files():
        words.update(re.findall(r"\w+", name))
        if name.endswith(".py"):
            own, texts = read(name)
            words |= own
            if name.startswith(PRODUCT):
                for text, line in texts:
                    note(text, f"{name}:{line}")
        elif name.startswith(PAGES) and name.endswith(".md") and not name.startswith(GENERATED):
            note(Path(ROOT / name).read_text(), name)
        elif name.endswith(CODE) or "." not in Path(name).name:
            words.update(re.findall(r"\w+", Path(ROOT / name).read_text(errors="replace")))
    return frozenset(words), tuple(named), tuple(paths)


@cache
def members() -> dict[str, set[str]]:
    """Per class of the product: its methods, its fields, and what its methods set."""
    found: dict[str, set[str]] = defaultdict(set)
    for name in files():
        if not (name.endswith(".py") and name.startswith(PRODUCT)):
            continue
        for node in ast.walk(ast.parse(Path(ROOT / name).read_text())):
            if not isinstance(node, ast.ClassDef):
                continue
            own = found[node.name]
            for inner in ast.walk(node):
                if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef):
                    own.add(inner.name)
                elif isinstance(inner, ast.AnnAssign | ast.Assign):
                    for target in inner.targets if isinstance(inner, ast.Assign) else [inner.target]:
                        own.update(re.findall(r"\w+", ast.unparse(target)))
    return found


def test_every_name_in_backticks_is_in_the_code() -> None:
    words, named, _ = vocabulary()
    assert len(named) > 1000
    unknown = [
        item
        for item in named
        if re.search(r"[_/.]|[a-z][A-Z]|\(\)", item.text)
        and not re.search(r"\s", item.text)
        and item.text not in ALLOWED
        and not words.issuperset(re.findall(r"[A-Za-z_]\w+", item.text))
    ]
    assert unknown == []


def test_every_file_that_is_named_is_there() -> None:
    paths = vocabulary()[2]
    assert len(paths) > 100
    assert [item for item in paths if "/" in item.text and item.text not in files()] == []


def test_every_member_in_backticks_is_its_classs_own() -> None:
    checked = []
    for item in vocabulary()[1]:
        match = re.fullmatch(r"(?:[\w./]+: )?([A-Z]\w+)\.(\w+)(?:\(\))?", item.text)
        if match and match[1] in members():
            checked.append(item)
            assert match[2] in members()[match[1]], item
    assert len(checked) > 10


def test_every_script_that_is_named_is_there() -> None:
    scripts = {Path(name).name for name in files() if name.endswith(".lua")}
    named = vocabulary()[2]
    assert len(named) > 20
    assert [item for item in named if item.text.endswith(".lua") and Path(item.text).name not in scripts] == []


def test_every_link_of_a_page_leads_somewhere() -> None:
    found = 0
    for name in (item for item in files() if item.startswith(PAGES) and item.endswith(".md")):
        page = Path(ROOT / name)
        for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)):
            if re.match(r"[a-z]+:", target):
                continue
            found += 1
            path, _, anchor = target.partition("#")
            there = (page.parent / path).resolve() if path else page
            assert there.exists(), f"{name}: {target}"
            if anchor:
                assert anchor in anchors(there.read_text()), f"{name}: {target}"
    assert found > 30


def anchors(text: str) -> set[str]:
    """What GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
