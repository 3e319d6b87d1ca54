"""How our own Python modules are started as programs: with this process's code, from any working directory."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# The variables that a node's processes inherit. Others may hold secrets or change how programs behave.
_KEPT = frozenset(
    {"PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TERM", "COLUMNS", "VIRTUAL_ENV"}
)
_KEPT_PREFIXES = ("LC_", "LD_LIBRARY_", "DYLD_", "NUMBA_", "PYTHON", "COVERAGE_")


def module_command(module: str, *arguments: str) -> list[str]:
    """The command that runs `python -m module`.

    -P: the working directory may hold another `worker` or `api`, which must not be run instead.
    """
    return [sys.executable, "-P", "-m", module, *arguments]


def do_without_rich() -> None:
    """Keep structlog from loading rich (3 MB) in a process that writes to a log. Call it before structlog is loaded."""
    sys.modules.setdefault("rich", None)  # type: ignore[arg-type] # None is how Python spells "cannot be imported"


@contextmanager
def structlog_without_rich() -> Iterator[None]:
    """Import structlog as after `do_without_rich`. Afterwards rich can be imported, for a progress bar."""
    if "rich" in sys.modules:
        yield
        return
    do_without_rich()
    try:
        yield
    finally:
        del sys.modules["rich"]


def scrub_environment() -> None:
    """Reduce this process's environment to what its children may inherit."""
    kept = scrubbed(os.environ)
    os.environ.clear()
    os.environ.update(kept)


def scrubbed(environment: Mapping[str, str]) -> dict[str, str]:
    """The harmless variables of `environment`, none of them ours, and the path of our modules."""
    kept = {name: value for name, value in environment.items() if name in _KEPT or name.startswith(_KEPT_PREFIXES)}
    return {**kept, **module_path(environment)}


def module_path(environment: Mapping[str, str]) -> dict[str, str]:
    """The variable by which `module_command` finds our modules in a checkout; none where they are installed."""
    if ROOT.name in ("site-packages", "dist-packages"):
        return {}
    return {"PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), environment.get("PYTHONPATH", "")]))}
