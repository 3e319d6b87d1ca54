"""For all tests: the processes that they start share compiled code, and helpers explain what they assert."""

import gc
import importlib
import os
import signal
import sys
import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import redis.utils
from structlog.contextvars import clear_contextvars
from werkzeug.routing import Rule

# Hundreds of Python processes are started. Each would compile the whole product again, for a tenth of a second.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
# Pytest loads readline, which sets the terminal's size for child processes. Commands would fold their lines to it.
for name in ("COLUMNS", "LINES"):
    os.environ.pop(name, None)
    os.unsetenv(name)

# A shell that has `make test` run in the background has it ignore SIGINT, and the programs whose Ctrl-C is tested, too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

pytest.register_assert_rewrite("tests.support")


def _compile_each_url_once() -> None:
    """Tests make more than a thousand applications with the same URLs, and Werkzeug compiles for each URL two functions
    that write it: 7 of the 9 ms that an application takes. They depend on nothing but the URL, so they are kept.
    """
    compiled: dict[tuple[Any, ...], Any] = {}
    compile_builder: Callable[..., Any] = Rule._compile_builder

    def kept(self: Any, append_unknown: bool = True) -> Any:
        if self.defaults:
            return compile_builder(self, append_unknown)
        name = (self.rule, tuple(self._trace), append_unknown)
        if name not in compiled:
            compiled[name] = compile_builder(self, append_unknown)
        return compiled[name]

    Rule._compile_builder = kept  # type: ignore[method-assign]


_compile_each_url_once()
# Each new connection asks for it, for a millisecond, and tests make thousands.
redis.utils.get_lib_version = cache(redis.utils.get_lib_version)


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    """Leave what belongs to the process as it was: jobs bind their node and worker to its log lines, and `quarry up`
    takes variables out of its environment.
    """
    before = dict(os.environ)
    yield
    clear_contextvars()
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)


def _test_modules(package: Path) -> Iterator[str]:
    """The names of the test modules in a package and those inside it. Nothing else is looked through (node_modules)."""
    for path in sorted(package.iterdir()):
        if path.match("test_*.py"):
            yield ".".join(path.relative_to(Path(__file__).parents[1]).with_suffix("").parts)
        elif (path / "__init__.py").is_file():
            yield from _test_modules(path)


def pytest_sessionstart(session: pytest.Session) -> None:
    """On a fresh clone, compiling the tests takes longer than collecting them, and all test processes would compile
    the same file at the same time. Each begins at another place, and finds compiled what others have reached.
    """
    gc.disable()  # until the tests are collected: a million objects, nearly all of which stay
    process, processes = os.environ.get("PYTEST_XDIST_WORKER"), int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if process is None or session.config.args_source is not pytest.Config.ArgsSource.TESTPATHS:
        return
    names = list(_test_modules(Path(__file__).parent))
    begin = len(names) * int(process.removeprefix("gw")) // processes
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # as pytest does while it collects
        for name in names[begin:] + names[:begin]:
            with suppress(Exception, pytest.skip.Exception):  # pytest imports it again, and reports what is wrong
                importlib.import_module(name)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    try:
        return (yield)
    finally:
        gc.enable()


@pytest.hookimpl(trylast=True)  # after pytest-randomly
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What shares a browser or a running node stays together, and one test process starts it, not all. What takes long
    comes first (tests/support/order.py). Within these, the order is by chance.
    """
    from tests.support.order import arranged, kind  # not above: its assertions would not be rewritten

    def kind_of(item: pytest.Item) -> int | None:
        path = item.nodeid.partition("::")[0].removeprefix("tests/")
        return kind(path, getattr(item, "fixturenames", ()))

    items[:] = arranged(items, kind_of, int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))


def pytest_collection_finish() -> None:
    """Collected tests and loaded modules stay: the garbage collector need not look through them during every test."""
    gc.freeze()
