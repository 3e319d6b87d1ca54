"""Loading the state file of a node whose store runs and whose API, workers and ticker do not, and writing it.

`quarry up` has it done by a process of its own (services/launch/state.py).
"""

from pathlib import Path

from services.connections.servers import RedisError, as_store, connect_for_requests, explain
from services.development import state_disk
from services.development.state_file import BadState, decode
from services.jobs.queues import RqJobs
from services.node import Node, build_node
from services.settings.table import Settings
from shared.errors import NodeError


class StateProgramFailed(NodeError):
    """A file or the store cannot be used. The message is a sentence."""


def run_state(settings: Settings, action: str, file: Path, *, resume: bool = False) -> None:
    """Load a file into a node, or write its state to one.

    Args:
        action: "load" or "dump".
        resume: as for `load_state`.

    Raises:
        NodeError: nothing was loaded, or written.
    """
    try:
        with connect_for_requests(settings.redis_url) as store, connect_for_requests(settings.broker_url) as broker:
            node = build_node(settings, store=as_store(store), queue=RqJobs(broker))
            if action == "load":
                load_state(node, state_disk.read(file), resume=resume)
            else:
                state_disk.write(file, node.states.dump())
    except RedisError as error:
        raise StateProgramFailed(f"The store does not answer: {explain(error)}.") from error
    except OSError as error:
        raise StateProgramFailed(f"{error.filename or file}: {error.strerror}.") from error


def load_state(node: Node, content: bytes, *, resume: bool = False) -> None:
    """Load a state into a node that has nothing yet.

    Args:
        resume: accept a node whose chain holds the state's tip, and change nothing then: it has run since the state was
            written, and was not stopped in order.

    Raises:
        BadState: the file cannot be used, or the node has a chain already.
    """
    node.begin()
    if not node.states.is_begun():
        node.states.load(content)
    elif not (resume and node.states.holds(decode(content))):
        raise BadState(
            "The data directory holds a chain already, and a state is loaded into a fresh one: name another with "
            "--data-dir."
        )
