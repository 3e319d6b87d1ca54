"""Fixtures for pytest: `quarry_node`, one node for all tests of a process, and `quarry`, the same for one test alone.

The plugin is loaded wherever Quarry is installed, so it imports nothing until a fixture is used.
"""

import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from quarrynode import QuarryNode

_OPTION = "quarry_command"
_METHOD_NOT_FOUND = -32601


def pytest_addoption(parser: pytest.Parser) -> None:
    text = "The command that starts Quarry, as a shell would split it. [default: quarry]"
    parser.getgroup("quarry").addoption("--quarry-command", dest=_OPTION, metavar="COMMAND", help=text)
    parser.addini(_OPTION, text)


@pytest.fixture(scope="session")
def quarry_command(pytestconfig: pytest.Config) -> tuple[str, ...]:
    """The command that starts Quarry: `--quarry-command`, or `quarry_command` in the configuration, or `quarry`."""
    given = pytestconfig.getoption(_OPTION) or pytestconfig.getini(_OPTION) or "quarry"
    return tuple(shlex.split(str(given)))


@pytest.fixture(scope="session")
def quarry_node(quarry_command: tuple[str, ...]) -> "Iterator[QuarryNode]":
    """A node of a development chain, for the whole session. Define a fixture of this name to start another."""
    from quarrynode import QuarryNode

    with QuarryNode(quarry_command) as node:
        yield node


@pytest.fixture
def quarry(quarry_node: "QuarryNode") -> "Iterator[QuarryNode]":
    """`quarry_node`, which goes back to where it was after the test: what the test did is gone.

    It needs snapshots (`evm_snapshot`), which nodes of development chains have.
    """
    from quarrynode import RpcError

    try:
        snapshot = quarry_node.snapshot()
    except RpcError as error:
        if error.code != _METHOD_NOT_FOUND:
            raise
        pytest.fail("This node has no snapshots: use the fixture quarry_node.", pytrace=False)
    yield quarry_node
    quarry_node.revert(snapshot)
