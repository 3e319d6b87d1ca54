"""Schedules on a chain with sealers whose nodes have different upgrades: a contentious fork, with nodes left behind.

Up to the height of the upgrades the nodes are one network. From there on each group, those with the same upgrades, must
go on alone, and nobody may hold nodes of another group for liars.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from typing import Any

from lab.simulated.checker import Checker, State, Tree, Violation
from lab.simulated.memory import MemoryRedis
from lab.simulated.node import url_of
from lab.simulated.plan import Plan, draw
from lab.simulated.world import World
from shared.chain_spec import ChainSpec, spec_from_object
from shared.keys import KeyPair
from shared.rules import rules_for
from shared.upgrades import read_upgrades, signed, to_object

# Blocks of each group above the upgrades' height that end a schedule.
_BEYOND = 2
# Of faults.
_SECONDS = 20.0
_FAR = 150.0  # seconds; some plans have one clock that is further off


class Parting(World):
    """One schedule. Group 0 has an upgrade of sealers and difficulty, group 1 of the difficulty, group 2 none."""

    def __init__(self, seed: int, *, store: Callable[[], Any] = MemoryRedis, keep_log: bool = False) -> None:
        plan = draw(seed, "safety")
        choose = random.Random(f"{seed}-parting")
        self.keys = [KeyPair(bytes([8, index]) * 16) for index in range(plan.nodes)]
        self.groups = [0, 1, *(choose.randrange(3) for _ in range(plan.nodes - 2))]
        choose.shuffle(self.groups)
        self.height = choose.randint(4, 7)
        self.specs = self._specs(plan)
        self._other_trees = [Tree(rules_for(spec)) for spec in self.specs[1:]]
        everybody = tuple(combinations(range(plan.nodes), 2))
        changes: dict[str, Any] = {"spec": self.specs[0], "links": everybody, "flippers": 0, "drippers": 0}
        # A node whose clock is hours behind refuses the others' blocks, and rightly waits with its own.
        changes["skew"] = tuple(skew if abs(skew) < _FAR else 0.0 for skew in plan.skew)
        super().__init__(replace(plan, **changes, impostor=False, seconds=_SECONDS), store=store, keep_log=keep_log)

    def _specs(self, plan: Plan) -> list[ChainSpec]:
        """The chain spec of each group."""
        sealers = [key.address for key in self.keys]
        spec = spec_from_object({**plan.spec.to_object(), "sealers": sealers})
        own = [key.address for key, group in zip(self.keys, self.groups, strict=True) if group == 0]
        found = []
        # With fewer sealers and nothing else, old nodes would follow: such blocks keep the old rules too.
        # The difficulties differ also where the spec's is 1: else group 1 would follow group 0.
        other = max(2 * spec.difficulty, spec.difficulty + 2)
        for changes in ({"sealers": own, "difficulty": spec.difficulty + 1}, {"difficulty": other}):
            items = [{"height": self.height, "changes": changes}]
            drafted = read_upgrades({"spec": spec.hash, "upgrades": items}, spec, agreed=False)
            for key in self.keys[: len(self.keys) // 2 + 1]:
                drafted, _ = signed(drafted, key)
            found.append(read_upgrades(to_object(drafted), spec))
        return [*found, spec]

    # --- for the nodes ---

    def spec_of(self, index: int) -> ChainSpec:
        return self.specs[self.groups[index]]

    def sealer_of(self, index: int) -> KeyPair | None:
        return self.keys[index]

    def checker_of(self, index: int, name: str, raw: Any) -> Checker:
        group = self.groups[index]
        same = frozenset(url_of(other) for other, its in enumerate(self.groups) if its == group)
        tree = self._other_trees[group - 1] if group else self.tree
        return Checker(name, raw, tree, same, parted=self.honest - same)

    # --- the schedule ---

    def _run(self) -> None:
        super()._run()
        self.faults = self.faults.healed()
        self._sides.clear()
        for node in self.nodes:
            node.store_down = False
            node.repair()
        goal = self.height + _BEYOND
        if not self.until(self.scheduler.now + 600.0, lambda: min(map(self._height, range(len(self.nodes)))) >= goal):
            raise Violation(f"not all nodes reached height {goal}: {[self._height(i) for i in range(len(self.nodes))]}")
        self.users.alive = False
        for node in self.nodes:
            node.mining = False
        pauses = 700.0  # a peer on another chain is asked again after ten minutes at most
        if not self.until(self.scheduler.now + pauses, self._agree):
            raise Violation("nodes with the same upgrades have not the same tip")
        self._require_parted()
        for node in self.nodes:
            self.judge(node, node.checker.check_all)
        self.met("parted")

    def _height(self, index: int) -> int:
        return self.nodes[index].checker.tip.block.index

    def tip_of(self, group: int) -> State:
        """The tip of a group that has nodes and agrees."""
        return self.nodes[self.groups.index(group)].checker.tip

    def _agree(self) -> bool:
        tips = {(group, node.checker.tip.block.hash) for group, node in zip(self.groups, self.nodes, strict=True)}
        return len(tips) == len(set(self.groups))

    def _require_parted(self) -> None:
        """No block from the upgrades' height on is common to two groups.

        Of the blocks below, they may have fewer in common: groups that a partition kept apart until both had passed the
        height cannot join any more.
        """
        for one, other in combinations(sorted(set(self.groups)), 2):
            chains = [self.tip_of(group).hashes() for group in (one, other)]
            common = sum(a == b for a, b in zip(*chains, strict=False))
            if not 0 < common < self.height:
                raise Violation(f"groups {one} and {other} have {common} blocks in common; they part at {self.height}")
            if common == self.height - 1:
                self.met("parted at the height")
