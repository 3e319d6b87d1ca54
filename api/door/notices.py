"""The messages that a step is for a subscription.

They differ between subscriptions only in the subscription's id. So each is made once, as a whole frame, and cut in two
where the id goes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from websockets.frames import Frame, Opcode

from api.door.backlog import Step
from services.token.logs import LogCriteria

Kind = Literal["newHeads", "logs", "newPendingTransactions", "syncing"]
# A frame before and after the id.
Notice = tuple[bytes, bytes]

_ID_LENGTH = len("0x") + 32
_BEFORE = b'{"jsonrpc":"2.0","method":"eth_subscription","params":{"subscription":"'
_MIDDLE = b'","result":'
_AFTER = b"}}"


@dataclass(frozen=True, slots=True)
class Topic:
    """What a subscription is about. Equal topics get the same messages."""

    kind: Kind
    criteria: LogCriteria | None = None  # of logs
    whole: bool = False  # pending transactions are wanted whole


def notice(result: bytes) -> Notice:
    """The frame of a notification with this result (JSON), around the place of the id."""
    payload = b"".join((_BEFORE, bytes(_ID_LENGTH), _MIDDLE, result, _AFTER))
    frame = Frame(Opcode.TEXT, payload).serialize(mask=False)
    start = len(frame) - len(payload) + len(_BEFORE)
    return frame[:start], frame[start + _ID_LENGTH :]


def notices(step: Step, topic: Topic) -> Sequence[Notice]:
    """The messages of a step for a topic, in order."""
    found: Sequence[Notice] | None = step.messages.get(topic)
    if found is None:
        found = step.messages[topic] = tuple(map(notice, _results(step, topic)))
    return found


def _results(step: Step, topic: Topic) -> Sequence[bytes]:
    match topic.kind, step.kind:
        case "newHeads", "attached":
            return (step.head,)
        case "logs", "attached" | "detached":
            assert topic.criteria is not None
            accepts = topic.criteria.accepts
            return [text for log, text in step.logs or () if accepts(log)]
        case "newPendingTransactions", "pending":
            return (step.whole or ()) if topic.whole else step.hashes
    return ()
