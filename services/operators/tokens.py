"""Operators: named admin tokens with scopes, and the audit log of what was done with them.

The admin token of the node's file may do everything. A named token may do what its scopes say, and can be revoked
without the others. Its secret is shown once; what is stored is its SHA-256.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final, Literal, get_args

import structlog

from services.errors import PolicyError
from services.operators.names import check_name, compared_form
from services.ports import Clock, Randomness
from services.store.tokens import TokenStore
from services.system.allowance import Allowance
from services.system.visible import escaped
from shared.errors import InputError
from shared.hashing import sha256

_log = structlog.get_logger(__name__)

MOST_TOKENS: Final = 64
# Acts with tokens that nobody has which a process writes down in a second: each is a write to the disk.
MOST_OF_STRANGERS: Final = 10
_PREFIX: Final = "qt_"
ADMIN: Final = "admin"  # who has the token of the node's file

# peers: register and remove peers. mine: mine from another machine, and the limit on the hash rate. jobs: cancel jobs
# and rounds, and read the dashboard.
Scope = Literal["peers", "mine", "jobs"]
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)


@dataclass(frozen=True, slots=True)
class Operator:
    """Who holds a named token."""

    name: str
    scopes: tuple[Scope, ...]
    created_at: float  # Unix seconds


@dataclass(frozen=True, slots=True)
class Act:
    """An entry of the audit log."""

    at: float  # Unix seconds
    who: str  # the token's name, `admin`, or "" for a token that nobody has
    what: str  # method and path
    where: str  # the address that asked
    status: int  # of the answer


class Operators:
    """The operators of one node."""

    def __init__(self, store: TokenStore, clock: Clock, randomness: Randomness) -> None:
        self._store = store
        self._clock = clock
        self._randomness = randomness
        self._strangers = Allowance(MOST_OF_STRANGERS)

    def new(self, name: object, scopes: Sequence[object]) -> tuple[Operator, str]:
        """Make a token. Returns who it is for, and its secret.

        Raises:
            InputError: `bad_name` (services/operators/names.py), `bad_scopes`.
            PolicyError: `name_taken`, `too_many_tokens`. Nothing has changed.
        """
        normal = check_name(name)
        if compared_form(normal) == ADMIN:
            raise InputError("bad_name", "The token of the node's file is called admin.", field="name")
        if not scopes or not all(isinstance(scope, str) and scope in SCOPES for scope in scopes):
            raise InputError("bad_scopes", f"scopes is a list of some of {', '.join(SCOPES)}.", field="scopes")
        made = Operator(normal, tuple(scope for scope in SCOPES if scope in scopes), self._clock.now())
        secret = _PREFIX + self._randomness.token()
        outcome = self._store.add(compared_form(normal), digest_of(secret), asdict(made), MOST_TOKENS)
        if outcome == "taken":
            raise PolicyError("name_taken", "A token has this name already; revoke it first.", field="name")
        if outcome == "full":
            raise PolicyError("too_many_tokens", f"A node keeps {MOST_TOKENS} tokens; revoke one first.")
        return made, secret

    def all(self) -> list[Operator]:
        """All of them, by name."""
        found = [Operator(item["name"], tuple(item["scopes"]), item["created_at"]) for item in self._store.all()]
        return sorted(found, key=lambda item: compared_form(item.name))

    def revoke(self, name: str) -> bool:
        """Revoke a token by its name, whatever the case. Returns whether there was one."""
        return self._store.revoke(compared_form(name))

    def find(self, secret: str) -> Operator | None:
        """Who has this secret; None: nobody. What cannot be one is not looked up."""
        if not secret.startswith(_PREFIX) or len(secret) != len(_PREFIX) + 32:
            return None
        found = self._store.find(digest_of(secret))
        return None if found is None else Operator(found["name"], tuple(found["scopes"]), found["created_at"])

    def note(self, who: str, what: str, where: str, status: int) -> None:
        """Write an entry of the audit log: to the stream and as a log line. Of tokens that nobody has, no more than
        `MOST_OF_STRANGERS` are written in a second; the next log line says how many were left out.
        """
        left_out = 0 if who else self._strangers.take()
        if left_out is None:
            return
        act = Act(self._clock.now(), who, escaped(what, 200), where, status)
        self._store.note(asdict(act), refused=status in (401, 403))
        more = {"left_out": left_out} if left_out else {}
        _log.info("audit", who=who or "?", what=act.what, where=where, status=status, **more)

    def acts(self, count: int) -> list[Act]:
        """The last entries of the audit log, at most `count`, the newest first."""
        found = [Act(**item) for refused in (False, True) for item in self._store.acts(count, refused=refused)]
        return sorted(found, key=lambda act: -act.at)[:count]


def digest_of(secret: str) -> str:
    """What is stored of a secret: SHA-256 in hex."""
    return sha256(b"quarry-token:" + secret.encode(errors="surrogatepass")).hex()
