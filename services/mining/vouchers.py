"""Vouchers: secrets by which miners that are not trusted take leases (services/mining/leases.py), and nothing else.

A secret is shown once, when it is made. What is stored is its SHA-256. A voucher may have a short code as well, for the
page that mines in a browser.
"""

from dataclasses import dataclass
from typing import Final

from services.errors import PolicyError
from services.operators.names import check_name, compared_form
from services.ports import Clock, Randomness
from services.store.vouchers import Voucher, VoucherStore
from shared.hashing import sha256

MOST_VOUCHERS: Final = 20_000
_PREFIX: Final = "qv_"
# No letters that are taken for digits. 50 bits: whoever guesses one may mine for this node.
_LETTERS: Final = "ABCDEFGHJKMNPQRSTVWXYZ0123456789"
_CODE_LENGTH: Final = 10


@dataclass(frozen=True, slots=True)
class NewVoucher:
    """A voucher with its secrets."""

    name: str
    secret: str
    code: str  # "" for none


class Vouchers:
    """The vouchers of one node."""

    def __init__(self, store: VoucherStore, clock: Clock, randomness: Randomness) -> None:
        self._store = store
        self._clock = clock
        self._randomness = randomness

    def new(self, name: object, *, code: bool = False) -> NewVoucher:
        """Make a voucher.

        Args:
            code: whether it has a short code as well.

        Raises:
            InputError: `bad_name` (services/operators/names.py).
            PolicyError: `name_taken`, `too_many_vouchers`. Nothing has changed.
        """
        normal = check_name(name)
        made = NewVoucher(normal, _PREFIX + self._randomness.token(), self._code() if code else "")
        outcome = self._store.add(
            self._randomness.token()[:16],
            normal,
            compared_form(normal),
            digest_of(made.secret),
            digest_of(made.code) if code else "",
            self._clock.now(),
            MOST_VOUCHERS,
        )
        if outcome == "taken":
            raise PolicyError("name_taken", "A voucher has this name already; revoke it first.", field="name")
        if outcome == "full":
            raise PolicyError("too_many_vouchers", f"A node keeps {MOST_VOUCHERS:,} vouchers; revoke one first.")
        return made

    def all(self) -> list[Voucher]:
        """The vouchers in the order of their names."""
        return self._store.all()

    def revoke(self, name: str) -> bool:
        """Revoke a voucher, whatever the case of its name. Returns whether there was one. Its leases end at once."""
        return self._store.revoke(compared_form(name))

    def _code(self) -> str:
        number, letters = int(self._randomness.token(), 16), ""
        for _ in range(_CODE_LENGTH):
            number, letter = divmod(number, len(_LETTERS))
            letters += _LETTERS[letter]
        return letters


def digest_of(secret: str) -> str:
    """What is stored of a secret or a code: SHA-256 in hex. A code may be typed in lower case, and with hyphens."""
    if not secret.startswith(_PREFIX):
        secret = secret.upper().replace("-", "")
    return sha256(b"quarry-voucher:" + secret.encode(errors="surrogatepass")).hex()
