"""What peers have shown of branches that this node did not adopt: the ends of their headers, and blocks that break a
rule.

Both are proven by work, so strangers and liars cannot fill the store with junk: a header end is the last of headers
that were verified, one for each peer; a refused block has the proof of work that the rules ask for at its place, and at
most `MOST_REFUSED` are kept. What is kept here is for people to look at (services/peers/tips.py): no decision depends
on it.
"""

from typing import Any

from services.peers.stretch import Stretch
from services.ports import Clock
from services.store.chain import ChainStore
from services.store.tips import HeaderEnd, Refused, TipStore
from shared.block import Block, Header
from shared.canonical import canonical
from shared.errors import RuleError
from shared.evidence import has_work, is_committed
from shared.rules import Rules

_MOST_REASON = 300  # characters


class Sightings:
    """Notes of one node about branches of its peers whose headers can be judged alone."""

    def __init__(self, store: TipStore, chain: ChainStore, rules: Rules, clock: Clock) -> None:
        self._store = store
        self._chain = chain
        self._rules = rules
        self._clock = clock

    def headers(self, url: str, stretch: Stretch) -> None:
        """Note the end of verified headers that were not adopted, if there are any."""
        last = stretch.window[-1]
        fork = self._chain.hash_at(stretch.fork)
        if len(stretch) and fork is not None:
            self._store.note_headers(url, HeaderEnd(last.hash, last.index, stretch.chainwork, fork, self._clock.now()))

    def header(self, url: str, stretch: Stretch, header: Header, error: RuleError) -> None:
        """Keep a header that breaks a rule as the next of a stretch, if it has work."""
        if has_work(header, tuple(stretch.window), self._rules.spec):
            self._keep(url, stretch.fork, header, stretch.chainwork, error, None)

    def refused(self, url: str, stretch: Stretch, error: RuleError) -> None:
        """Keep the block at which the stretch stands, which breaks a rule."""
        if isinstance(stretch.at, Block):  # its header is one of the stretch, and commits to its body
            self._keep_body(url, stretch, stretch.at.header, stretch.at.canonical, error)
        else:
            self._body(url, stretch, stretch.at, error)

    def _body(self, url: str, stretch: Stretch, value: Any, error: RuleError) -> None:
        """Keep a block that cannot be read, if its header is one of the stretch and commits to its body."""
        try:
            header = self._rules.read_header({name: item for name, item in value.items() if name != "transactions"})
            position = header.index - stretch.fork - 1
            known = 0 <= position < len(stretch) and stretch.hash_at(position) == header.hash
            if known and is_committed(header, value["transactions"]):
                self._keep_body(url, stretch, header, canonical(value), error)
        except (RuleError, AttributeError, KeyError, TypeError, ValueError):
            return  # not even the form of a block: it proves nothing

    def _keep_body(self, url: str, stretch: Stretch, header: Header, text: bytes, error: RuleError) -> None:
        parent = self._chain.header(str(header.previous_hash))  # on our chain, or staged
        if parent is not None:
            self._keep(url, stretch.fork, header, parent.chainwork, error, text)

    def _keep(self, url: str, fork: int, header: Header, before: int, error: RuleError, text: bytes | None) -> None:
        """`before`: chainwork of the parent."""
        name = self._chain.hash_at(fork)
        if name is not None:  # else our chain has changed
            size, chainwork = None if text is None else len(text), before + self._rules.work(header)
            refused = Refused(
                header.hash, header.to_object(), chainwork, name, error.code, error.message[:_MOST_REASON], url,
                self._clock.now(), size,
            )  # fmt: skip
            self._store.keep_refused(refused, text or b"")
            self._store.forget_headers(url)  # they may follow the block
