"""What all nodes of a broker share: cards of nodes, names of workers, and the processes whose clocks are wrong."""

from services.ports import Store
from services.store.keys import CLOCKS, NODES, WORKERS
from services.store.scripts import Scripts


def node_names(broker: Store) -> list[str]:
    """The nodes that have registered."""
    return sorted(name.decode() for name in broker.hgetall(NODES))


def node_card(broker: Store, node: str) -> bytes | None:
    """The JSON that a node has registered with, or None."""
    return broker.hget(NODES, node)


def write_node_card(broker: Store, node: str, text: str) -> None:
    """Register a node; nothing is written if its card is the same."""
    if broker.hget(NODES, node) != text.encode():
        broker.hset(NODES, node, text)


def noted_clocks(broker: Store) -> list[bytes]:
    """The JSON of each process whose clock is wrong, in the order of their names."""
    return [text for _, text in sorted(broker.hgetall(CLOCKS).items())]


def note_clock(broker: Store, name: str, text: str) -> None:
    """Note, as JSON, that the clock of a process is wrong."""
    broker.hset(CLOCKS, name, text)


def forget_clocks(broker: Store, *names: str) -> None:
    """Forget what is noted of processes."""
    broker.hdel(CLOCKS, *names)


def worker_name(broker: Store, token: str, seconds: int, held: str, base: str) -> str:
    """Take, confirm or give back the name of a worker, as lua/worker_name.lua describes."""
    reply = Scripts(broker).run("worker_name", [WORKERS], [token, seconds, held, base])
    return str(reply.decode())
