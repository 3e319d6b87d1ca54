"""How our own Python modules are started as programs: the same code as this process, whatever the working directory."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# What a node's processes get of our environment. The rest may hold secrets, or change how Python behaves.
_KEPT = frozenset({"PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TERM", "VIRTUAL_ENV"})
_KEPT_PREFIXES = ("LC_", "LD_LIBRARY_", "DYLD_", "NUMBA_", "PYTHON", "COVERAGE_")


def module_command(module: str, *arguments: str) -> list[str]:
    """The command that runs `python -m module`.

    -P: a directory of the user's that happens to be called `worker` or `api` must not be run in our stead.
    """
    return [sys.executable, "-P", "-m", module, *arguments]


def do_without_rich() -> None:
    """In a process that writes to a log: keep structlog from loading rich, which costs 3 MB. Before it is imported."""
    sys.modules.setdefault("rich", None)  # type: ignore[arg-type] # None is how Python spells "cannot be imported"


def scrub_environment() -> None:
    """Reduce this process's environment to what its children may have: a supervisor's children inherit it."""
    kept = scrubbed(os.environ)
    os.environ.clear()
    os.environ.update(kept)


def scrubbed(environment: Mapping[str, str]) -> dict[str, str]:
    """What is harmless in `environment`, without any QUARRY_ variable, and with a way to find our modules."""
    kept = {name: value for name, value in environment.items() if name in _KEPT or name.startswith(_KEPT_PREFIXES)}
    return {**kept, **module_path(environment)}


def module_path(environment: Mapping[str, str]) -> dict[str, str]:
    """The variable that lets `module_command` find our modules, where they are not installed: in a checkout."""
    if ROOT.name in ("site-packages", "dist-packages"):
        return {}
    return {"PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), environment.get("PYTHONPATH", "")]))}
