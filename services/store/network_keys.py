"""The part of the Redis schema about peers, branches and housekeeping. `keys` says what holds for all keys."""


class NetworkKeys:
    """Names of one node's keys for what peers.py, branch.py, tips.py, outbox.py, resolutions.py and slots.py store."""

    prefix: str

    def _key(self, name: str) -> str:
        return self.prefix + name

    @property
    def peers(self) -> str:
        """HASH peer URL -> JSON of what is known of it (services/peers/book.py)."""
        return self._key("peers")

    @property
    def heard(self) -> str:
        """HASH peer URL -> "waiting|asked SECONDS HASH": the block that was last announced in the peer's name."""
        return self._key("heard")

    @property
    def asked(self) -> str:
        """HASH peer URL -> Unix seconds at which it was, or will be, asked for its tip."""
        return self._key("asked")

    @property
    def staged(self) -> str:
        """ZSET hash of a verified block that is stored but not on the chain (yet) -> Unix seconds of its staging."""
        return self._key("staged")

    @property
    def journal(self) -> str:
        """STRING JSON of the reorganisation whose indexes and mempool are being finished; absent when there is none."""
        return self._key("journal")

    @property
    def outbox(self) -> str:
        """LIST of ids of transactions to relay to peers, in order of admission. Capped."""
        return self._key("outbox")

    @property
    def resolve_asked(self) -> str:
        """STRING number of the last resolution that was asked for over HTTP."""
        return self._key("resolve-asked")

    @property
    def resolve_done(self) -> str:
        """STRING JSON {number, replaced}: the last such resolution that was answered, and whether the chain changed."""
        return self._key("resolve-done")

    @property
    def kept(self) -> str:
        """STRING Unix seconds at which housekeeping last began (services/store/slots.py)."""
        return self._key("kept")

    # --- branches that were not adopted: tips.py, finish.lua, keep_refused.lua ---

    @property
    def branch_ends(self) -> str:
        """ZSET hash of a tip that a reorganisation detached -> Unix seconds at which that was noted. Capped."""
        return self._key("branch-ends")

    @property
    def header_ends(self) -> str:
        """HASH peer URL -> JSON {hash, height, chainwork, fork, at}: the last header that the peer proved of a branch
        which was not adopted.
        """
        return self._key("header-ends")

    @property
    def refused(self) -> str:
        """HASH block hash -> "SECONDS URL JSON": when and from whom a block with proof of work came that breaks a rule,
        and what it is, without its body. Capped.
        """
        return self._key("refused")

    @property
    def refused_blocks(self) -> str:
        """HASH block hash -> canonical block of `refused`, if it is not large."""
        return self._key("refused-blocks")
