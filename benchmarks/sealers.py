"""The cost of sealers: verifying a chain whose headers are signed, compared with one that anybody may seal."""

import time
from collections.abc import Callable

from benchmarks.report import Result
from shared import sealing
from shared.chain_spec import ChainSpec, spec_from_object
from shared.keys import KeyPair
from shared.replay import Replay
from shared.rules import rules_for
from shared.transaction import read_transaction, sign

_KEYS = [KeyPair(bytes([number]) * 32) for number in range(1, 33)]
_START = 1_767_225_600
_TURNS = 5
# (Blocks, transfers in each).
_CHAINS = ((400, 0), (200, 4), (60, 20))
_TARGET = 0.9
_FROM = 20  # transfers in a block from which the target holds


def run(say: Callable[[str], None], quick: bool = False) -> list[Result]:
    """Result "sealers"."""
    result = Result("sealers")
    for blocks, transfers in _CHAINS:
        say(f"chains of {blocks} blocks of {transfers} transfers")
        specs = {name: _spec(sealers) for name, sealers in (("open", []), ("sealed", [_KEYS[0].address]))}
        chains = {name: _chain(spec, blocks // 4 if quick else blocks, transfers) for name, spec in specs.items()}
        best = dict.fromkeys(specs, float("inf"))
        for _ in range(_TURNS):  # the two take turns
            for name, spec in specs.items():
                best[name] = min(best[name], _verify(spec, chains[name]))
        each = {name: 1e6 * seconds / len(chains[name]) for name, seconds in best.items()}
        result.add(
            f"verify_ratio_{transfers}", best["open"] / best["sealed"], "", better="higher",
            target=_TARGET if transfers >= _FROM else None,
            than=f"blocks of {transfers} transfers: open {each['open']:.0f} µs a block, sealed {each['sealed']:.0f} µs",
        )  # fmt: skip
    return [result]


def _spec(sealers: list[str]) -> ChainSpec:
    fields = {"name": "bench", "chain_id": 4711, "genesis_timestamp": _START, "difficulty": 1}
    fields["allocations"] = {key.address: "1000" for key in _KEYS}
    return spec_from_object(fields | ({"sealers": sealers} if sealers else {}))


def _chain(spec: ChainSpec, blocks: int, transfers: int) -> list[dict[str, object]]:
    rules = rules_for(spec)
    replay = Replay(rules)
    found: list[dict[str, object]] = [{**rules.genesis().header.to_object(), "transactions": []}]
    replay.add(found[0])
    for number in range(blocks):
        items = []
        for position in range(transfers):
            key = _KEYS[position % len(_KEYS)]
            unsigned = {"type": "transfer", "chain_id": spec.chain_id, "nonce": number, "sender": key.address}
            unsigned |= {"recipient": _KEYS[-1].address, "amount": "0.001", "fee": "0"}
            items.append(read_transaction(sign(unsigned, key)))
        template = rules.template(replay.window, items, _KEYS[-1].address, _START + number, _KEYS[0])
        found.append(template.with_proof(0))
        replay.add(found[-1])
    return found


def _verify(spec: ChainSpec, blocks: list[dict[str, object]]) -> float:
    """CPU seconds of checking every rule of a chain."""
    sealing._verified.cache_clear()  # a signature that was good is remembered
    replay = Replay(rules_for(spec))
    started = time.process_time()
    for block in blocks:
        replay.add(block)
    return time.process_time() - started
