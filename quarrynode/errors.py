"""What can go wrong. Every error of this package is a `QuarryError`."""

from collections.abc import Sequence
from typing import Any


class QuarryError(Exception):
    """A node refused a request, or did not answer. The message is a sentence."""


class NodeFailed(QuarryError):
    """The command could not be started, a node did not become ready in time, or the command failed.

    Args:
        lines: the last lines that the command wrote to standard error; they are part of the message.
    """

    def __init__(self, message: str, lines: Sequence[str] = ()) -> None:
        super().__init__("\n".join([message, *(f"  {line}" for line in lines)]))
        self.lines = tuple(lines)


class RpcError(QuarryError):
    """The error object of a JSON-RPC answer."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(f"{message} (code {code})")
        self.code = code
        self.message = message
        self.data = data
