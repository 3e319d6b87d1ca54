"""`eth_subscribe` and `eth_unsubscribe`: the subscriptions of one WebSocket."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from api.door.backlog import Step
from api.door.feed import Feed
from api.door.limits import MAX_ALL_SUBSCRIPTIONS, MAX_CRITERIA, MAX_SUBSCRIPTIONS
from api.door.notices import Topic, notice, notices
from api.rpc.errors import REFUSED, RpcError, invalid_params
from api.rpc.logs import subscribed
from api.rpc.method_table import Method, Methods
from services.node import Node

# The answer of `eth_syncing` never changes: a node answers from its own chain while it asks its peers for a better one.
_NOT_SYNCING = notice(b"false")


@dataclass(slots=True)
class Subscription:
    """One subscription."""

    name: str
    id: bytes  # the same, as it stands in messages
    topic: Topic
    size: int  # characters of its criteria
    since: int | None = None  # the number of the first step that it is told; None: its id was not sent yet


class Subscriptions:
    """The subscriptions of one connection. Methods change them in threads; the event loop reads them."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._lock = threading.Lock()
        self._all: dict[str, Subscription] = {}
        self._ended = False

    def __len__(self) -> int:
        return len(self._all)

    def add(self, node: Node, topic: Topic, size: int) -> Subscription:
        """Add a subscription, of which nothing is told before `begin`.

        Raises:
            RpcError: there are too many.
        """
        with self._lock:
            if self._ended:
                raise RpcError(REFUSED, "the connection has ended")
            if len(self._all) >= MAX_SUBSCRIPTIONS:
                raise RpcError(REFUSED, f"a connection has {MAX_SUBSCRIPTIONS} subscriptions at most")
            if size + sum(each.size for each in self._all.values()) > MAX_CRITERIA:
                raise RpcError(REFUSED, "the criteria of this connection's subscriptions are too long together")
            if not self._feed.want(topic, MAX_ALL_SUBSCRIPTIONS):
                raise RpcError(REFUSED, "this node has too many subscriptions")
            name = f"0x{node.randomness.token()}"
            new = self._all[name] = Subscription(name, name.encode(), topic, size)
        return new

    def remove(self, name: str) -> bool:
        """Remove a subscription. Returns whether it was there."""
        with self._lock:
            found = self._all.pop(name, None)
        if found is not None:
            self._feed.forget(found.topic)
        return found is not None

    def end(self) -> None:
        """Remove all; none can be added any more."""
        with self._lock:
            self._ended = True
            names = list(self._all)
        for name in names:
            self.remove(name)

    def messages(self, number: int, step: Step) -> Iterator[bytes]:
        """The frames of a step, which has this number, for all subscriptions."""
        for each in list(self._all.values()):
            if each.since is not None and each.since <= number:
                for before, after in notices(step, each.topic):
                    if each.name not in self._all:  # it was removed while these messages waited
                        break
                    yield before + each.id + after


class Call:
    """The connection's own methods for one request, and the subscriptions that it makes.

    They begin once the request's answer, which has their ids, is on its way: clients ignore messages of other ids.
    """

    def __init__(self, subscriptions: Subscriptions, feed: Feed) -> None:
        self._subscriptions = subscriptions
        self._feed = feed
        self.made: list[Subscription] = []
        self.methods: Methods = {
            "eth_subscribe": Method(self._subscribe, 1, 2),
            "eth_unsubscribe": Method(self._unsubscribe, 1, 1),
        }

    def begin(self, number: int) -> list[bytes]:
        """Begin what was made, with the step of this number; the first messages."""
        for each in self.made:
            each.since = number
        return [_NOT_SYNCING[0] + each.id + _NOT_SYNCING[1] for each in self.made if each.topic.kind == "syncing"]

    def _subscribe(self, node: Node, kind: Any, option: Any = None) -> str:
        topic, size = _read(kind, option)
        new = self._subscriptions.add(node, topic, size)
        try:
            self._feed.begin()
        except BaseException:
            self._subscriptions.remove(new.name)
            raise
        self.made.append(new)
        return new.name

    def _unsubscribe(self, node: Node, name: Any) -> bool:
        if not isinstance(name, str):
            raise invalid_params("a subscription id is a string")
        if not self._subscriptions.remove(name):
            raise RpcError(REFUSED, "subscription not found")
        return True


def _read(kind: Any, option: Any) -> tuple[Topic, int]:
    """What is subscribed to, and the characters of its criteria. Raises: RpcError."""
    match kind:
        case "newHeads" | "syncing":
            if option is not None and option != {}:  # some clients send an empty object
                raise invalid_params(f"{kind} takes no options")
            return Topic(kind), 0
        case "newPendingTransactions":
            if option is not None and type(option) is not bool:
                raise invalid_params("the option says whether transactions are sent whole")
            return Topic(kind, whole=bool(option)), 0
        case "logs":
            criteria = {} if option is None else option
            return Topic(kind, subscribed(criteria)), len(str(criteria))
        case str():
            raise invalid_params("the subscriptions are newHeads, logs, newPendingTransactions and syncing")
    raise invalid_params("the first parameter is the name of a subscription")
