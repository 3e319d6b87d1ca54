"""`QuarryNode` and `QuarryNetwork`: nodes that live as long as a test."""

import contextlib
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from quarrynode import wire
from quarrynode.errors import NodeFailed, QuarryError
from quarrynode.node import REQUEST_TIMEOUT, Node
from quarrynode.process import Command

START_TIMEOUT = 60.0  # seconds
PathLike = str | os.PathLike[str]


class _Running(ABC):
    """What starts and stops. `command` must be set before `start`."""

    _command: Command
    _timeout: float

    @property
    def pid(self) -> int | None:
        """The pid of `quarry up`; None unless it runs."""
        return self._command.pid

    def start(self) -> Self:
        """Start, and wait until it is ready. `with` does it.

        Raises:
            NodeFailed: nothing is left running.
        """
        record = self._command.start(self._timeout)
        try:
            self._take(record)
        except BaseException:
            with contextlib.suppress(NodeFailed):
                self._command.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop, and wait until every process has ended. Safe to call twice. `with` and the interpreter's end do it.

        Raises:
            NodeFailed: the command ended with an exit code that is not 0.
        """
        self._command.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if error is None:
            self.stop()
        else:
            with contextlib.suppress(NodeFailed):  # the error of the test is the one to see
                self.stop()

    @abstractmethod
    def _take(self, record: dict[str, Any]) -> None:
        """Note where the nodes are, from what `quarry up --json` has printed."""


class QuarryNode(_Running, Node):
    """A node that runs inside a `with` block, on free ports.

    It is stopped at the end of the block, at the end of the interpreter, and if this process is killed. It has the
    attributes and methods of `Node`.

    Args:
        command: how to call Quarry, such as `("/path/to/.venv/bin/quarry",)`.
        accounts: how many development accounts have coins. None: as `quarry up` has it.
        block_time: seconds from one block to the next. None: blocks are mined when a transaction waits, or on request.
        automine: whether a block is mined whenever a transaction waits.
        data_dir: the directory for keys, chain and logs. None: a temporary one, which is removed at the end.
        load_state: a state file that the node starts from.
        dump_state: a file for the node's state, written when it stops.
        environment: settings (QUARRY_…) and other variables. The settings in this process's environment are not used.
        arguments: further options of `quarry up`, such as `("--spec", "tutorial")`.
        timeout: seconds for the start.
    """

    def __init__(
        self,
        command: Sequence[str] = ("quarry",),
        *,
        accounts: int | None = None,
        block_time: float | None = None,
        automine: bool = True,
        data_dir: PathLike | None = None,
        load_state: PathLike | None = None,
        dump_state: PathLike | None = None,
        environment: Mapping[str, str] | None = None,
        arguments: Sequence[str] = (),
        timeout: float = START_TIMEOUT,
    ) -> None:
        options = _options(accounts=accounts, block_time=block_time, load_state=load_state, dump_state=dump_state)
        options += [] if automine else ["--no-automine"]
        self._command = Command(command, ["--port", "0", *options, *arguments], data_dir, environment or {})
        self._timeout = timeout

    def __getattr__(self, name: str) -> Any:
        """Called for attributes that are not there: those of a node, before its start."""
        if name in Node.__annotations__:
            raise AttributeError(f"{name} is known once the node runs: with QuarryNode() as node")
        raise AttributeError(f"QuarryNode has no attribute {name}")

    def _take(self, record: dict[str, Any]) -> None:
        self._describe(record["nodes"][0], record)

    def _silent(self, url: str, error: OSError) -> QuarryError:
        if end := self._command.end():
            return NodeFailed(end, self._command.said())
        return super()._silent(url, error)


class QuarryNetwork(_Running):
    """Several nodes that are each other's peers, inside a `with` block, on free ports.

    Each has its own keys, store and chain. Only the first mines without a request. Nodes are numbered from 1.

        with QuarryNetwork(nodes=3) as network:
            network.partition([1], [2, 3])
            network.nodes[0].mine()
            network.nodes[1].mine(2)
            network.heal()

    Attributes:
        nodes: the nodes, in order.

    Args:
        nodes: how many.
        command, automine, data_dir, environment, arguments, timeout: as for `QuarryNode`.
    """

    nodes: tuple[Node, ...] = ()
    _links_url = ""

    def __init__(
        self,
        nodes: int = 3,
        command: Sequence[str] = ("quarry",),
        *,
        automine: bool = True,
        data_dir: PathLike | None = None,
        environment: Mapping[str, str] | None = None,
        arguments: Sequence[str] = (),
        timeout: float = 2 * START_TIMEOUT,
    ) -> None:
        options = ["--port", "0", "--nodes", str(nodes), "--links", *([] if automine else ["--no-automine"])]
        self._command = Command(command, [*options, *arguments], data_dir, environment or {})
        self._timeout = timeout

    def partition(self, *groups: Sequence[int]) -> None:
        """Cut all links between nodes of different groups, such as `partition([1], [2, 3])`.

        Args:
            groups: of the numbers of nodes. Nodes that are in none are a group of their own.

        Raises:
            QuarryError: there is no such node, or one is in two groups.
        """
        self._control("partition", groups=[list(group) for group in groups])

    def heal(self) -> None:
        """End every cut. The nodes hear of each other's blocks within seconds."""
        self._control("heal")

    def link(self, a: int, b: int) -> "Link":
        """What node `b` hears from node `a`: requests and news that `a` sends, and answers that it gives."""
        return Link(self._control, a, b)

    def _control(self, call: str, **values: object) -> None:
        if self.pid is None:
            raise QuarryError("The network does not run.")
        try:
            wire.ask(f"{self._links_url}/control", {"call": call, **values}, timeout=REQUEST_TIMEOUT)
        except OSError as error:
            if end := self._command.end():
                raise NodeFailed(end, self._command.said()) from None
            raise QuarryError(f"The router at {self._links_url} does not answer: {error}.") from None

    def _take(self, record: dict[str, Any]) -> None:
        self._links_url = str(record["links_url"])
        found = []
        for item in record["nodes"]:
            node = Node()
            node._describe(item, record)
            found.append(node)
        self.nodes = tuple(found)


class Link:
    """One direction between two nodes."""

    def __init__(self, control: Callable[..., None], a: int, b: int) -> None:
        self._control = control
        self._ends = {"from": a, "to": b}

    def set(self, *, latency: float | None = None, jitter: float | None = None, rate: float | None = None) -> None:
        """Change what is named; the rest stays.

        Args:
            latency: seconds that bytes take.
            jitter: seconds; up to so much is added.
            rate: bytes per second; 0: no limit.

        Raises:
            QuarryError: there is no such node, or a value is negative or too large.
        """
        given = {"latency": latency, "jitter": jitter, "rate": rate}
        self._change({name: value for name, value in given.items() if value is not None})

    def cut(self) -> None:
        """Refuse connections, and end those that are open."""
        self._change({"cut": True})

    def restore(self) -> None:
        """End the cut. Latency, jitter and rate stay."""
        self._change({"cut": False})

    def _change(self, changes: Mapping[str, object]) -> None:
        self._control("link", **self._ends, **changes)


def _options(**given: object) -> list[str]:
    """The options of `quarry up` for what was given."""
    options = []
    for name, value in given.items():
        if value is not None:
            text = f"{value:g}" if isinstance(value, float) else str(value)
            options += [f"--{name.replace('_', '-')}", text]
    return options
