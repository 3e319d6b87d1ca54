"""The options of `quarry up` for state files: what they mean together, and the chain spec that a file brings."""

import os
from dataclasses import dataclass
from pathlib import Path

from api.cli.group import Failure
from api.cli.options import require
from services.settings.table import load_spec


@dataclass(frozen=True, slots=True)
class StateFiles:
    """Which file is loaded, and which is written."""

    load: Path | None = None
    dump: Path | None = None
    resume: bool = False  # a chain in the data directory that holds the file's tip is kept as it is


def state_files(state: Path | None, load: Path | None, dump: Path | None, nodes: int) -> StateFiles:
    """What --state, --load-state and --dump-state mean.

    Raises:
        Failure: they contradict each other, or a file cannot be read or written.
    """
    require(state is None or (load is None and dump is None), "--state is --load-state and --dump-state with one file.")
    given = state is not None or load is not None or dump is not None
    require(nodes == 1 or not given, "A state file is for one node: leave out --nodes.")
    if state is not None:
        load, dump = (state if state.exists() else None), state
    loaded, dumped = ("--load-state", "--dump-state") if state is None else ("--state", "--state")
    if load is not None:
        require(load.is_file(), f"{loaded}: {load} is not a file.")
        load = load.absolute()
    if dump is not None:
        dump = dump.absolute()
        require(not dump.is_dir(), f"{dumped}: {dump} is a directory.")
        require(
            dump.parent.is_dir() and os.access(dump if dump.exists() else dump.parent, os.W_OK),
            f"{dumped}: {dump} cannot be written.",
        )
    return StateFiles(load, dump, resume=state is not None)


def settings_of(file: Path, given_spec: str | None, home: Path) -> dict[str, str]:
    """The settings of a node that loads a state file: QUARRY_SPEC, and more if the file has a phrase.

    Args:
        given_spec: what the user named; it must be that of the file.

    Raises:
        Failure, BadState, NodeFilesError: nothing is started.
    """
    from services.development import state_disk
    from services.development.state_file import BadState, decode
    from services.launch.state import keep_spec

    try:
        state = decode(state_disk.read(file))
    except BadState as error:
        raise BadState(f"{file}: {error}") from None
    except OSError as error:
        raise Failure(f"{file} cannot be read: {error.strerror}.") from None
    if given_spec is not None and load_spec(given_spec).hash != state.spec.hash:
        raise Failure(
            f"The state in {file} is of the chain {state.spec.name}, not of --spec {given_spec}: leave it out."
        )
    spec, settings = keep_spec(state.spec, state.phrase, home)
    return {"QUARRY_SPEC": given_spec or spec, **settings}
