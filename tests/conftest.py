"""For all tests: the processes that they start share compiled code, and helpers explain what they assert."""

import gc
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from structlog.contextvars import clear_contextvars
from werkzeug.routing import Rule

# Hundreds of Python processes are started. Each would compile the whole product again, for a tenth of a second.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# Pytest loads readline, which sets the terminal's size for child processes. Commands would fold their lines to it.
for name in ("COLUMNS", "LINES"):
    os.environ.pop(name, None)
    os.unsetenv(name)

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


def pytest_collection_finish() -> None:
    """Collected tests and loaded modules stay: the garbage collector need not look through them during every test."""
    gc.freeze()
