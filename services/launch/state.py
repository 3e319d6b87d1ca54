"""State files of a node that `quarry up` starts: loaded before its API starts, written after its programs have ended.

A program of its own does both (worker/state_files.py), so that this process, which lives as long as the
node, does not keep the memory that they take.
"""

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from services.launch.node_files import NodeFilesError, write_private
from services.launch.node_plan import NodePlan
from services.settings.table import BUILT_IN_SPECS, load_spec
from services.system.files import make_private_directory
from services.system.programs import module_command
from shared.chain_spec import ChainSpec
from shared.errors import NodeError

_TIMEOUT = 600.0  # seconds; 64 MiB of blocks are verified in less


class StateFailed(NodeError):
    """A state was not loaded, or not written. The message is the program's, and names what is wrong."""


def load(plan: NodePlan, environment: Mapping[str, str]) -> None:
    """Load the state that a plan names, if it names one. Raises: StateFailed.

    Args:
        environment: the settings of the node, whose store runs.
    """
    if plan.load_state is not None:
        _run(environment, "load", str(plan.load_state), *(["--resume"] if plan.resume else []))


def dump(plan: NodePlan, environment: Mapping[str, str], *, wanted: bool) -> None:
    """Write the state to the file that a plan names, if it names one. Raises: StateFailed.

    Args:
        wanted: False for a node that was never ready or has lost its data: it leaves an older file alone.
    """
    if plan.dump_state is not None and wanted:
        _run(environment, "dump", str(plan.dump_state))


def _run(environment: Mapping[str, str], *arguments: str) -> None:
    try:
        found = subprocess.run(
            module_command("worker", "state", *arguments),
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # a terminal's Ctrl-C is for us: a state that is being written gets written
            timeout=_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise StateFailed(f"The state was not ready within {_TIMEOUT:g} s.") from None
    if found.returncode:
        lines = found.stderr.strip().splitlines() or [f"The program ended with {found.returncode}."]
        raise StateFailed(lines[-1].removeprefix("quarry: "))


def keep_spec(spec: ChainSpec, phrase: str, home: Path) -> tuple[str, dict[str, str]]:
    """Make the chain spec of a state one that nodes can be started with.

    Args:
        phrase: of the development accounts; "": those that every node knows.
        home: the data directory. A spec that is not built in is kept there, in the directory of its nodes, and the
            phrase beside it.

    Returns:
        QUARRY_SPEC, and further settings.

    Raises:
        NodeFilesError: the directory holds another spec of that name, or the disk refuses.
    """
    for name in BUILT_IN_SPECS:
        if load_spec(name).hash == spec.hash:
            return name, {}
    directory = home / spec.name
    file, mnemonic = directory / "spec.toml", directory / "mnemonic"
    if file.exists() and load_spec(str(file)).hash != spec.hash:
        raise NodeFilesError(f"{file} is another chain's: name another directory with --data-dir.")
    try:
        make_private_directory(directory)
    except OSError as error:
        raise NodeFilesError(f"The directory {directory} cannot be made: {error.strerror}.") from None
    settings = {}
    if phrase:  # first: who finds a spec looks for its phrase
        write_private(mnemonic, phrase + "\n")
        settings["QUARRY_DEVELOPMENT_MNEMONIC_FILE"] = str(mnemonic)
    if not file.exists():
        write_private(file, to_toml(spec))
    return str(file), settings


def to_toml(spec: ChainSpec) -> str:
    """The spec as a TOML file with all its fields."""
    value = spec.to_object()
    tables = {name: item for name, item in value.items() if isinstance(item, dict)}
    lines = [f"{name} = {_toml(item)}" for name, item in value.items() if name not in tables]
    for name, table in tables.items():
        lines += ["", f"[{name}]", *(f"{_toml(key)} = {_toml(item)}" for key, item in table.items())]
    return "\n".join([*lines, ""])


def _toml(value: str | int | bool) -> str:
    """A value as TOML has it, which is as JSON has it, but for one character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
