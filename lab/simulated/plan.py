"""What one seed stands for: a network, its faults and its load, drawn from the seed."""

import random
from dataclasses import dataclass, replace
from typing import Any, Literal

from shared.chain_spec import ChainSpec, spec_from_object
from shared.keys import KeyPair
from shared.timestamps import max_ahead

Mode = Literal["safety", "liveness", "parting"]

START = 1_767_225_600.0
# So many that a node which asks them one after the other does not agree with its peers in time.
DRIPPERS = 24
KEYS = tuple(KeyPair(bytes([0, number]) * 16) for number in range(1, 7))


@dataclass(frozen=True)
class Faults:
    """How often things go wrong. All are probabilities."""

    preempt: float = 0.0  # per command to the store: another task runs first
    race: float = 0.0  # per script that compares: it runs only after another process has changed the chain
    stall: float = 0.0  # per command: the process stands still for up to half a minute
    death: float = 0.0  # per command: the process dies after it
    crash: float = 0.0  # per second: all processes of a node die at once
    cut_reply: float = 0.0  # per command: it ran, but the reply is lost; jobs repeat it, requests fail
    lost_job: float = 0.0
    lost_relay: float = 0.0  # in addition: then transactions travel in blocks only
    double_job: float = 0.0
    drop: float = 0.0  # per message to a peer
    duplicate: float = 0.0
    slow: float = 0.0
    truncate: float = 0.0
    partition: float = 0.0  # per second: the network is partitioned for a while
    flush: float = 0.0  # per second: a broker loses all its data
    # Per proof found: the worker dies before it hands it in; per proof sealed: the desk dies before it appends.
    proof_death: float = 0.0
    slice_death: float = 0.0  # per slice of a reorganisation

    def healed(self) -> "Faults":
        """The faults after everything is repaired: processes still take turns."""
        return Faults(preempt=self.preempt)


@dataclass(frozen=True)
class Plan:
    """One schedule."""

    seed: int
    mode: Mode
    nodes: int
    links: tuple[tuple[int, int], ...]  # which nodes are peers, in both directions
    spec: ChainSpec
    settings: dict[str, Any]
    automine: tuple[bool, ...]
    skew: tuple[float, ...]  # seconds, per node
    hashes_per_second: tuple[float, ...]  # per node and worker
    mining_workers: int
    network_workers: int
    api_processes: int
    seconds: float  # of faults and load
    transactions: float  # per second
    requests: float  # mining requests per second
    liars: int
    faults: Faults
    drippers: int  # how many peers of all nodes send byte by byte
    flippers: int  # how many peers contradict themselves
    impostor: bool  # whether a stranger announces in the name of honest peers


def draw(seed: int, mode: Mode) -> Plan:
    """The plan of a seed."""
    choose = random.Random(f"{seed}-{mode}")
    nodes = choose.choice((3, 3, 3, 4, 4, 5, 6))
    adjusted = choose.random() < 0.25
    difficulty = 256 if adjusted else choose.choice((1, 8, 64))
    spec = spec_from_object(
        {
            "name": "simulation",
            "development": True,
            "chain_id": 4244,
            "genesis_timestamp": int(START) - 1000,
            "difficulty": difficulty,
            "block_interval": 3 if adjusted else 0,
            "max_block_transactions": choose.choice((3, 6, 100)),
            "allocations": {key.address: choose.choice(("3", "20", "1000")) for key in KEYS},
        }
    )
    # Nodes agree only if any two clocks differ by less than the rules let a block lie in the future.
    near = max_ahead(spec.block_interval) * 5 / 12
    widest = near if mode == "liveness" else choose.choice((1.0, 100.0, 10_800.0))
    skew = tuple(choose.uniform(-widest, widest) if choose.random() < 0.4 else 0.0 for _ in range(nodes))
    if widest > 150:  # only one clock is far off: two would make two networks
        skew = tuple(value if index == 0 else 0.0 for index, value in enumerate(skew))
    return Plan(
        seed=seed,
        mode=mode,
        nodes=nodes,
        links=_links(choose, nodes),
        spec=spec,
        settings={
            "max_mempool": choose.choice((4, 8, 20_000)),
            "nonces_ahead": choose.choice((3, 64)),
            "expiry_seconds": choose.choice((15, 86_400)),
            "max_requests": choose.choice((2, 64)),
        },
        automine=tuple(choose.random() < 0.4 for _ in range(nodes)),
        skew=skew,
        hashes_per_second=tuple(difficulty / choose.choice((1.0, 3.0, 8.0)) for _ in range(nodes)),
        mining_workers=choose.choice((1, 1, 2)),
        network_workers=choose.choice((1, 2)),
        api_processes=choose.choice((1, 2)),
        seconds=choose.uniform(40, 60) if mode == "safety" else choose.uniform(25, 35),
        transactions=choose.choice((0.5, 1.5, 3.0)),
        requests=choose.choice((0.1, 0.3, 0.6)),
        liars=int(choose.random() < 0.5),
        faults=_faults(choose),
        # They take time to simulate, so only some schedules have them.
        drippers=choose.choice((0, 0, 0, 0, 0, DRIPPERS if mode == "liveness" else 3)),
        flippers=int(choose.random() < 0.3),
        impostor=choose.random() < 0.25,
    )


def _links(choose: random.Random, nodes: int) -> tuple[tuple[int, int], ...]:
    """A connected network: a random tree, all nodes with all, or something between."""
    order = list(range(nodes))
    choose.shuffle(order)
    tree = {(order[choose.randrange(index)], order[index]) for index in range(1, nodes)}
    more = choose.choice((0.0, 0.3, 1.0))
    for a in range(nodes):
        for b in range(a):
            if choose.random() < more:
                tree.add((a, b))
    return tuple(sorted({(min(link), max(link)) for link in tree}))


def _faults(choose: random.Random) -> Faults:
    """A third of the kinds of fault, so that one kind does not always hide another."""
    everything = Faults(
        preempt=0.08,
        race=0.15,
        stall=0.001,
        death=0.002,
        crash=0.01,
        cut_reply=0.01,
        lost_job=0.1,
        lost_relay=0.9,
        double_job=0.1,
        drop=0.1,
        duplicate=0.1,
        slow=0.1,
        truncate=0.05,
        partition=0.05,
        flush=0.02,
        proof_death=0.15,
        slice_death=0.15,
    )
    names = [name for name in everything.__dataclass_fields__ if choose.random() > 0.35]
    changes: dict[str, Any] = {name: 0.0 for name in names}
    if choose.random() < 0.8:
        changes["preempt"] = choose.choice((0.02, 0.08, 0.2))
    return replace(everything, **changes)
