"""The stream of a backup: gzip around lines of JSON, in this order.

    {"manifest": …}   of which node and chain, up to which block, and when
    {"file": …}       keys, wallets, token, phrase, one a line (services/backup/key_files.py)
    {"block": …}      each block from genesis on, as it is hashed. Backups of version 3 have none
    {"waiting": …}    transactions in the mempool, in the order of their arrival
    {"record": …}     what became of transactions that left the mempool
    {"name": …}       names that the operator has given to addresses
    {"token": …}      named admin tokens, vouchers, what miners have done, the window of shares, and payouts: the kinds
                      of `services.store.accounting`. Backups of version 1 have none of them
    {"end": …}        how many lines of each kind there were

Nothing here judges a block: `services.backup.checking` and the node that restores it do.
"""

import base64
import gzip
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any

from services.backup.accounting import is_item
from services.backup.sealed import WITHOUT_CHAIN, BadBackup, Opener, Sealer
from services.settings.values import NODE_NAME
from services.store.accounting import KINDS
from shared import wire
from shared.canonical import canonical
from shared.chain_spec import BadChainSpec, ChainSpec, spec_from_object
from shared.hashing import is_hash
from shared.upgrades import BadUpgrades, read_upgrades, to_object

MAX_FILE = 65_536  # bytes of one file of a backup; keys have some hundred
# Bytes. No chain spec allows blocks of more than 16 MiB, so a longer line is not a block. No other line is as long.
_MAX_LINE = 2**24 + 2**16
# Bytes of the lines of these kinds, since a reader holds what they say: some ten times what the default limits let a
# node keep.
_MAX_OTHERS = 2**28
_HELD = frozenset({"file", "waiting", "record", "name", "share"})
_ORDER = ("manifest", "file", "block", "waiting", "record", "name", *KINDS, "end")
_AS_THEY_ARE = frozenset({"block", "waiting", *KINDS})
_BLOCK = b'{"block": '
_TEXT = re.compile(r"[ -~]{1,64}")
_STATUS = re.compile(r"[a-z_]{1,32}")
_GZIP = 31  # zlib's number for a gzip stream


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup is of. Its chain ends, or would end, at the block that was the tip when the backup began."""

    node: str
    spec: ChainSpec  # with its upgrades
    genesis: str  # block hashes
    tip: str
    height: int
    created: int  # Unix seconds
    release: str  # of Quarry, that wrote it
    keys: bool  # whether the node's keys are in it
    records: bool  # whether the mempool, records and names are in it
    chain: bool = True  # whether the blocks are in it

    def to_object(self) -> dict[str, Any]:
        """Its JSON."""
        return {
            "created": self.created,
            "genesis": self.genesis,
            "height": self.height,
            "keys": self.keys,
            "node": self.node,
            "records": self.records,
            "release": self.release,
            "spec": self.spec.to_object(),
            "spec_hash": self.spec.hash,
            "tip": self.tip,
            **({} if self.chain else {"chain": False}),
            **({"upgrades": to_object(self.spec)} if self.spec.stages else {}),
        }


class Writer:
    """Writes the lines of a backup, in their order.

    Args:
        sealer: of the version WITHOUT_CHAIN if the manifest says so.
    """

    def __init__(self, sealer: Sealer, manifest: Manifest) -> None:
        self._sealer = sealer
        # A backup is written at the speed of the chain's reader; more than the fastest level would save a tenth.
        self._gzip = zlib.compressobj(1, zlib.DEFLATED, _GZIP)
        self._counts: Counter[str] = Counter()
        self._line("manifest", manifest.to_object())

    def file(self, name: str, content: bytes) -> None:
        """Add a file."""
        self._line("file", {"content": base64.b64encode(content).decode(), "name": name})

    def block(self, text: bytes) -> None:
        """Add the next block, in its canonical form."""
        self._counts["block"] += 1
        self._write(_BLOCK + text + b"}\n")

    def waiting(self, text: bytes) -> None:
        """Add a waiting transaction, in its canonical form."""
        self._counts["waiting"] += 1
        self._write(b'{"waiting": ' + text + b"}\n")

    def record(self, identifier: str, record: Mapping[str, Any]) -> None:
        """Add the record of a transaction that left the mempool."""
        self._line("record", {"id": identifier, **{name: record[name] for name in ("status", "reason", "at")}})

    def name(self, address: str, name: str) -> None:
        """Add a name of an address."""
        self._line("name", {"address": address, "name": name})

    def item(self, kind: str, value: Any) -> None:
        """Add an item of `services.store.accounting`."""
        self._line(kind, value)

    def finish(self) -> None:
        """End the backup."""
        self._line("end", dict(self._counts))
        self._sealer.write(self._gzip.flush())
        self._sealer.finish()

    def _line(self, kind: str, value: Any) -> None:
        if kind not in ("manifest", "end"):
            self._counts[kind] += 1
        self._write(canonical({kind: value}) + b"\n")

    def _write(self, line: bytes) -> None:
        self._sealer.write(self._gzip.compress(line))


class Reader:
    """The content of a backup, read once from its beginning. `lines` has to be read to its end.

    Raises:
        BadBackup: as `Opener`; or the content is not what Quarry writes.
    """

    def __init__(self, source: IO[bytes], passphrase: str) -> None:
        self._stream = Opener(source, passphrase)
        self._lines = gzip.GzipFile(fileobj=self._stream, mode="rb")
        self._number = self._length = self._others = 0
        self._counts: Counter[str] = Counter()
        _, value = self._next(0)
        self.manifest = self._manifest(value)

    def lines(self) -> Iterator[tuple[str, Any]]:
        """The lines between the manifest and the end: kind, and value.

        A file is `(name, bytes)`, a record `(id, record)`, a name `(address, name)`; a block is the bytes of its JSON,
        which are not parsed yet, and everything else is its JSON.
        """
        rank = 1
        while True:
            kind, value = self._next(rank)
            rank = _ORDER.index(kind)
            if kind == "end":
                self._require(value == dict(self._counts))
                break
            self._counts[kind] += 1
            self._others += self._length if kind in _HELD else 0
            if self._others > _MAX_OTHERS:
                raise BadBackup(f"The backup holds more than {_MAX_OTHERS >> 20} MiB beside its blocks.")
            self._require(kind != "block" or self.manifest.chain)
            if kind in KINDS:
                self._require(self._stream.version > 1 and is_item(kind, value))
            yield kind, value if kind in _AS_THEY_ARE else getattr(self, f"_{kind}")(value)
        self._require(not self._line())

    def _next(self, rank: int) -> tuple[str, Any]:
        self._number += 1
        line = self._line()
        if line.startswith(_BLOCK) and line.endswith(b"}\n"):
            self._require(rank <= _ORDER.index("block"))
            return "block", line[len(_BLOCK) : -2]
        kind, item = wire.parse_member(line) or ("", None)
        self._require(kind in _ORDER and _ORDER.index(kind) >= rank and (kind == "manifest") == (rank == 0))
        return kind, item

    def _line(self) -> bytes:
        try:
            line: bytes = self._lines.readline(_MAX_LINE + 1)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            line = b"-"
        self._length = len(line)
        self._require(self._length <= _MAX_LINE and line != b"-")
        return line

    def _manifest(self, value: Any) -> Manifest:
        try:
            found = Manifest(
                node=value["node"],
                spec=_spec(value),
                genesis=value["genesis"],
                tip=value["tip"],
                height=value["height"],
                created=value["created"],
                release=value["release"],
                keys=value["keys"],
                records=value["records"],
                chain=value.get("chain", True),
            )
            known = value["spec_hash"]
        except (TypeError, KeyError, AttributeError):
            raise self._bad() from None
        except BadChainSpec as error:
            raise BadBackup(f"The chain spec of the backup cannot be used: {error}") from None
        except BadUpgrades as error:
            raise BadBackup(f"The upgrades of the backup cannot be used: {error}") from None
        self._require(_is_text(found.node, NODE_NAME) and _is_text(found.release, _TEXT))
        self._require(is_hash(found.genesis) and is_hash(found.tip))
        self._require(type(found.height) is int and found.height > 0 and type(found.created) is int)
        self._require(type(found.keys) is bool and type(found.records) is bool and 0 <= found.created < 10**12)
        self._require(found.chain is (self._stream.version < WITHOUT_CHAIN))
        if found.spec.hash != known:
            raise BadBackup("The chain spec of the backup is another one for this release, so its chain is another.")
        return found

    def _file(self, value: Any) -> tuple[str, bytes]:
        self._require(_has(value, "content", "name") and all(isinstance(item, str) for item in value.values()))
        try:
            content = base64.b64decode(value["content"], validate=True)
        except ValueError:
            raise self._bad() from None
        self._require(len(content) <= MAX_FILE)
        return value["name"], content

    def _record(self, value: Any) -> tuple[str, dict[str, Any]]:
        self._require(_has(value, "id", "status", "reason", "at") and is_hash(value["id"]))
        self._require(_is_text(value["status"], _STATUS) and type(value["at"]) in (int, float))
        self._require(isinstance(value["reason"], str) and len(value["reason"]) <= 1000 and 0 <= value["at"] < 10**12)
        return value["id"], {name: value[name] for name in ("status", "reason", "at")}

    def _name(self, value: Any) -> tuple[str, str]:
        self._require(_has(value, "address", "name") and all(isinstance(item, str) for item in value.values()))
        return value["address"], value["name"]

    def _require(self, condition: bool) -> None:
        if not condition:
            raise self._bad()

    def _bad(self) -> BadBackup:
        return BadBackup(f"Line {self._number} of what the backup holds is not one that Quarry writes there.")


def _spec(manifest: Any) -> ChainSpec:
    spec = spec_from_object(manifest["spec"])
    return read_upgrades(manifest["upgrades"], spec) if "upgrades" in manifest else spec


def _has(value: Any, *names: str) -> bool:
    return isinstance(value, dict) and value.keys() == set(names)


def _is_text(value: Any, pattern: re.Pattern[str]) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None
