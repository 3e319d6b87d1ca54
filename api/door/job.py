"""One request to the dispatcher: answered in a thread, sent in the event loop."""

from collections.abc import Callable
from contextlib import suppress

from api.door.subscriptions import Call
from api.rpc import protocol
from api.rpc.method_table import NO_METHODS
from api.serving import budget as budgets
from api.serving.budget import LARGE, Budget, LargeAnswer
from services.errors import Busy
from services.node import Node


class Request:
    """A request's body, and its answer once it was run."""

    __slots__ = (
        "_body",
        "_budget",
        "_controls",
        "_is_large",
        "_node",
        "_send",
        "answer",
        "call",
        "large",
        "refused",
        "size",
    )

    def __init__(
        self,
        node: Node,
        budget: Budget,
        body: bytes,
        controls: bool,
        send: Callable[["Request"], None],
        call: Call | None = None,
        *,
        is_large: bool = False,
    ) -> None:
        """
        Args:
            send: called in the event loop, once the answer is there.
            call: the methods of the connection.
            is_large: the body is longer than others may have: only some methods may have it.
        """
        self._node = node
        self._budget = budget
        self._body = body
        self._controls = controls
        self._send = send
        self.call = call
        self._is_large = is_large
        self.size = len(body)
        self.answer = b""
        self.refused = False  # its body is larger than its method may have
        self.large: LargeAnswer | None = None  # what a large answer holds; the sender gives it back

    def run(self) -> None:
        """Make the answer."""
        budgets.begin(self._budget)
        try:
            own = NO_METHODS if self.call is None else self.call.methods
            answer = protocol.answer_large if self._is_large else protocol.answer
            found = answer(self._node, self._body, self._controls, own)
            self.answer, self.refused = found or b"", found is None
        finally:
            self._body = b""
            self.large = budgets.take_answer()
        if self.large is not None or len(self.answer) > LARGE:
            self.large = self.large or LargeAnswer(self._budget)
            with suppress(Busy):  # it may have changed something, so it must not be refused with "try again"
                self.large.settle(len(self.answer))

    def finish(self) -> None:
        self._send(self)

    def close(self) -> None:
        """Give back what the answer holds: it was sent, or nobody wants it any more."""
        if self.large is not None:
            self.large.close()
            self.large = None
