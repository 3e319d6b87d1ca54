"""Going back: snapshots of a development chain, and returning to them, to an earlier block, or to genesis.

Walk: a branch that ends at an earlier block is begun from the undo records (services/chain/reorganiser.py) → `swap`
makes it the chain, though it is lighter → the journal's slices let newer transactions leave with the record `reverted`,
or make the mempool that of the snapshot (services/chain/finishing.py) → the next round opens.

The blocks that were left stay stored, as after any reorganisation. Nothing looks among them for a better chain: only a
peer's claim begins an adoption. So a node with peers does not go back, since they would bring the blocks again.
"""

from collections.abc import Callable, Mapping

from services.chain.reorganiser import Branch, Reorganiser
from services.errors import NotFound, TipMoved, Unfinished
from services.mining.rounds import Rounds
from services.peers.book import PeerBook
from services.ports import Clock
from services.store.branch import Aftermath
from services.store.chain import ChainStore
from services.store.snapshots import Snapshot, SnapshotStore
from shared.errors import NodeError

REVERTED = "reverted"
_TRIES = 20


class CannotGoBack(NodeError):
    """The node cannot go back, and the message says why. Nothing has changed."""


class GoingBack:
    """The snapshots of one node, and its way back."""

    def __init__(
        self,
        chain: ChainStore,
        snapshots: SnapshotStore,
        reorganiser: Reorganiser,
        rounds: Rounds,
        book: PeerBook,
        clock: Clock,
        kept: Callable[[], Mapping[str, str]] = lambda: {},
    ) -> None:
        """`kept`: what other parts keep with a snapshot. `Finisher` gives it back to them (`on_restored`)."""
        self._chain = chain
        self._snapshots = snapshots
        self._reorganiser = reorganiser
        self._rounds = rounds
        self._book = book
        self._clock = clock
        self._kept = kept

    def snapshot(self) -> int:
        """Take a snapshot of the chain and the mempool. Returns its id.

        Raises:
            PolicyError, LedgerDiffers: as `SnapshotStore.take`.
        """
        for _ in range(_TRIES):
            try:
                return self._snapshots.take(self._clock.now(), self._kept())
            except Unfinished:
                self._reorganiser.finish()
        raise TipMoved("The chain is being reorganised again and again.")

    def revert(self, snapshot_id: int) -> bool:
        """Return to a snapshot: its chain and its mempool. It and all later ones are removed.

        Returns:
            False if there is no such snapshot.

        Raises:
            CannotGoBack: the node has peers, or blocks that the snapshot needs are not stored any more.
            LedgerDiffers: the stored state is marked as wrong.
        """
        for _ in range(_TRIES):
            found = self._snapshots.get(snapshot_id)
            if found is None:
                return False
            self._require_alone()
            try:
                self._reorganiser.swap(
                    self._branch_to(found),
                    may_be_lighter=True,
                    aftermath=Aftermath(
                        REVERTED, f"the node went back to snapshot {hex(snapshot_id)}", restores=True,
                        fields=dict(found.fields),
                    ),
                    snapshot=str(snapshot_id),
                )  # fmt: skip
            except TipMoved:
                continue
            except NotFound:
                if self._snapshots.get(snapshot_id) is None:
                    return False  # another process has just reverted to it, or to an earlier one
                raise
            self._rounds.ensure_open()
            return True
        raise TipMoved("The chain changed at every attempt to go back.")

    def rollback(self, depth: int) -> None:
        """Take the last `depth` blocks off the chain. Their transactions leave; those that wait go on waiting.

        Raises:
            CannotGoBack: the chain has not so many blocks above genesis, or the node has peers.
            LedgerDiffers: the stored state is marked as wrong.
        """
        for _ in range(_TRIES):
            self._require_alone()
            fork = self.require_depth(depth)
            try:
                self._reorganiser.swap(
                    self._reorganiser.begin(fork),
                    may_be_lighter=True,
                    aftermath=Aftermath(REVERTED, "its block was rolled back"),
                )
            except TipMoved:
                continue
            self._rounds.ensure_open()
            return
        raise TipMoved("The chain changed at every attempt to go back.")

    def reset(self) -> None:
        """Return to genesis with an empty mempool. All snapshots are removed.

        Raises:
            CannotGoBack: the node has peers.
            LedgerDiffers: the stored state is marked as wrong.
        """
        for _ in range(_TRIES):
            self._require_alone()
            try:
                self._reorganiser.swap(
                    self._reorganiser.begin(1),
                    may_be_lighter=True,
                    aftermath=Aftermath(REVERTED, "the chain was reset", restores=True, fields={}),
                    snapshot="*",
                )
            except TipMoved:
                continue
            self._rounds.ensure_open()
            return
        raise TipMoved("The chain changed at every attempt to go back.")

    def require_depth(self, depth: int) -> int:
        """The height that is `depth` blocks below the tip. Raises: CannotGoBack: that is below genesis."""
        height = self._chain.tip().height
        if not 1 <= depth < height:
            raise CannotGoBack(
                f"The chain has {height - 1} blocks above its first, so it cannot go back {depth} blocks."
            )
        return height - depth

    def _require_alone(self) -> None:
        peers = len(self._book.approved())
        if peers:
            raise CannotGoBack(
                f"This node has {peers} peer(s), which would bring the blocks back: it goes back only without peers. "
                "To have all of them follow another branch, use anvil_reorg or quarry fork."
            )

    def _branch_to(self, snapshot: Snapshot) -> Branch:
        """The branch that ends at a snapshot's block: empty if the block is on the chain.

        Raises:
            CannotGoBack: blocks of it are not stored any more.
            TipMoved: the chain changed meanwhile.
        """
        missing: list[str] = []
        name = snapshot.tip
        while True:
            stored = self._chain.header(name)
            if stored is None:
                raise CannotGoBack(
                    f"The blocks of snapshot {hex(snapshot.id)} are not stored any more: "
                    f"block {snapshot.height - len(missing)} is missing."
                )
            if self._chain.is_on_chain(stored):
                break
            missing.append(name)
            name = str(stored.header.previous_hash)
        branch = self._reorganiser.begin(stored.header.index)
        if branch.window[-1].hash != name:
            raise TipMoved("The chain changed while its past was read.")
        for name in reversed(missing):
            if not self._reorganiser.add_known(branch, name):
                raise CannotGoBack(f"A block of snapshot {hex(snapshot.id)} is not stored any more.")
        return branch
