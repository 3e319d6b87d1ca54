"""Names of addresses, for the pages of this node.

The node itself, its development accounts with the faucet, and the wallets on this machine have names by themselves. The
operator can give others. Names are local: they are not in blocks, are not sent to peers, and no rule depends on them.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from services.errors import PolicyError
from services.ports import Randomness, SystemRandomness
from services.settings.table import Settings
from services.store.names import NameStore
from services.system.visible import is_plain
from services.wallet.development import accounts_of, faucet_account
from services.wallet.directory import WalletAddresses
from shared.errors import InputError

LONGEST = 40  # characters
MOST_GIVEN = 1000
MOST_WALLETS = 1000

Kind = Literal["given", "node", "development", "wallet"]

# Letters that look like those of "0x", with which addresses begin.
_LOOKS_LIKE = str.maketrans(
    {
        **dict.fromkeys("o\u043e\u03bf\u0585\u3007", "0"),  # Latin, Cyrillic, Greek, Armenian, ideographic zero
        **dict.fromkeys("\u0445\u03c7\u00d7\u2a2f\u2715", "x"),  # Cyrillic, Greek, signs of multiplication
    }
)
_ADDRESS = re.compile(r"0x[0-9a-f.]{3,}.*")
_HASH = re.compile(r"[0-9a-f.]{8,}")
_HEIGHT = re.compile(r"#?\s*\d[\d\s.,'_]*")
_WORDS = frozenset({"latest"})  # that the search has a use for


@dataclass(frozen=True, slots=True)
class Named:
    """The name of one address."""

    address: str
    name: str
    kind: Kind
    faucet: bool = False  # the faucet pays from it

    @property
    def label(self) -> str:
        """The name as pages show it."""
        return f"{self.name} (faucet)" if self.faucet else self.name


@dataclass(frozen=True, slots=True)
class _Known:
    """All names at one moment, and by what it is seen whether they are still the same."""

    revision: bytes  # of the given names
    wallets: dict[str, str]  # name → address
    by_address: dict[str, Named]
    by_name: dict[str, str]  # name as it is compared → address


class Names:
    """The names that one node knows. Every method may be called from any thread.

    Args:
        accounts: whether the chain's rules know accounts; without them there are neither development accounts nor a
            faucet.
        randomness: None for the machine's.
    """

    def __init__(
        self, store: NameStore, settings: Settings, *, accounts: bool, randomness: Randomness | None = None
    ) -> None:
        self._store = store
        self._settings = settings
        self._accounts = accounts
        self._randomness = randomness or SystemRandomness()
        directory = settings.named_wallets
        self._wallets = None if directory is None else WalletAddresses(directory, MOST_WALLETS)
        self._own: tuple[Named, ...] | None = None
        self._kept: _Known | None = None

    def all(self) -> Mapping[str, Named]:
        """Address → name. No two addresses have the same name. It belongs to all callers: nobody changes it."""
        return self._known().by_address

    def find(self, name: str) -> str | None:
        """The address with a name, whatever its case; None if there is none. `faucet` is the faucet's account."""
        return None if len(name) > LONGEST else self._known().by_name.get(compared_form(name))

    def given(self) -> dict[str, str]:
        """Address → name, as the operator has given them."""
        return self._store.all()

    def give(self, address: str, name: str) -> Named:
        """Give an address a name.

        Args:
            address: in its normal form.

        Raises:
            InputError: `bad_name`.
            PolicyError: `name_taken`, `too_many_names`. Nothing has changed.
        """
        normal = check_name(name)
        compared = compared_form(normal)
        wallets = self._wallets.all() if self._wallets is not None else {}
        owner = next((item.address for item in self._by_themselves(wallets) if compared in _names_of(item)), address)
        outcome = "taken"
        if owner == address:
            outcome, owner = self._store.give(address, normal, compared, MOST_GIVEN, self._randomness.token())
        if outcome == "taken":
            raise PolicyError("name_taken", f"{owner} has this name; choose another, or remove that one.", field="name")
        if outcome == "full":
            raise PolicyError("too_many_names", f"A node keeps {MOST_GIVEN:,} names; remove one first.", field="name")
        return Named(address, normal, "given")

    def remove(self, address: str) -> bool:
        """Take away the name that the operator has given. Returns whether there was one."""
        return self._store.remove(address, self._randomness.token())

    def _known(self) -> _Known:
        """All names now. They are put together again only after one was given or removed, or a wallet has changed."""
        revision = self._store.revision()  # before the names, which may be newer then, but not older
        wallets = self._wallets.all() if self._wallets is not None else {}
        known = self._kept
        if known is None or known.revision != revision or known.wallets != wallets:
            known = self._kept = self._together(revision, wallets)
        return known

    def _together(self, revision: bytes, wallets: dict[str, str]) -> _Known:
        by_address: dict[str, Named] = {}
        by_name: dict[str, str] = {}
        seen: set[str] = set()
        for named in self._in_order(wallets):
            compared = compared_form(named.name)
            for each in (compared, "faucet") if named.faucet else (compared,):
                by_name.setdefault(each, named.address)
            if named.address not in by_address and compared not in seen:
                by_address[named.address] = named
                seen.add(compared)
        return _Known(revision, wallets, by_address, by_name)

    def _in_order(self, wallets: dict[str, str]) -> Iterator[Named]:
        """All names, those first that come before others."""
        faucet = self._faucet()
        for address, name in sorted(self._store.all().items()):
            yield Named(address, name, "given", address == faucet)
        yield from self._by_themselves(wallets)

    def _by_themselves(self, wallets: dict[str, str]) -> Iterator[Named]:
        """The names that nobody has given."""
        if self._own is None:
            self._own = tuple(self._of_the_node())
        yield from self._own
        for name, address in wallets.items():
            yield Named(address, name, "wallet")

    def _of_the_node(self) -> Iterable[Named]:
        if self._settings.reward_address:
            yield Named(self._settings.reward_address, self._settings.node, "node")
        if not self._accounts:
            return
        faucet = self._faucet()
        for index, account in enumerate(accounts_of(self._settings)):
            if account.address in self._settings.spec.allocations:
                yield Named(account.address, f"account{index}", "development", account.address == faucet)

    def _faucet(self) -> str | None:
        account = faucet_account(self._settings) if self._accounts else None
        return None if account is None else account.address


def _names_of(named: Named) -> tuple[str, ...]:
    return (compared_form(named.name), "faucet") if named.faucet else (compared_form(named.name),)


@lru_cache(maxsize=4096)  # all names are compared after each change; each is at most a hundred bytes
def compared_form(name: str) -> str:
    """A name without the differences that a reader overlooks: case, width, ligatures."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def check_name(name: object) -> str:
    """A name in its normal form.

    Raises:
        InputError: `bad_name`. A name has 1 to 40 visible characters, without blanks at its ends, and cannot be taken
            for an address, a hash or a height.
    """
    if not isinstance(name, str):
        raise InputError("bad_name", "A name is text.", field="name")
    if len(name) > LONGEST and name[:2].casefold() != "0x":  # an address, which has 42, is refused as one
        raise InputError("bad_name", f"A name has at most {LONGEST} characters.", field="name")
    name = name[: LONGEST + 2]
    normal = unicodedata.normalize("NFC", name)
    if not normal:
        raise InputError("bad_name", f"A name has 1 to {LONGEST} characters.", field="name")
    if not is_plain(normal):
        raise InputError("bad_name", "A name has only visible characters and single blanks.", field="name")
    if normal != " ".join(normal.split()):
        raise InputError("bad_name", "A name has no blanks at its ends, and single ones between words.", field="name")
    compared = compared_form(normal)
    if not any(unicodedata.category(character)[0] in "LNS" for character in compared):
        raise InputError("bad_name", "A name has at least one letter, digit or sign.", field="name")
    if _ADDRESS.fullmatch(compared.translate(_LOOKS_LIKE)) or compared.startswith("0x"):
        raise InputError("bad_name", "A name must not look like an address: leave out the 0x.", field="name")
    if _HEIGHT.fullmatch(compared) or compared in _WORDS:
        raise InputError("bad_name", "A name must not look like a block's height: add a letter.", field="name")
    if _HASH.fullmatch(compared):
        raise InputError("bad_name", "A name must not look like a hash: add another letter.", field="name")
    return normal
