"""The chain spec: every constant that two nodes must share. Its hash is in the genesis block, so specs never mix."""

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, get_args

from shared.addresses import ZERO_ADDRESS, parse_address
from shared.amounts import COIN, MAX_AMOUNT, format_amount, parse_amount
from shared.canonical import canonical
from shared.errors import InputError, NodeError
from shared.hashing import sha256
from shared.wire import MAX_INTEGER, is_plain_text

RulesName = Literal["standard", "tutorial"]

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
# Wallets calculate with chain ids in doubles (EIP-2294 has a similar bound).
_MAX_CHAIN_ID = MAX_INTEGER
# Canonical bytes of a block with the longest numbers and no transactions, of a sealer's fields, and of a reward.
_HEADER_ROOM = 512
_SEALER_ROOM = 256
_REWARD_ROOM = 512
# The height after genesis, which nobody mines.
FIRST_MINED = 2
MAX_SEALERS = 100


class BadChainSpec(NodeError):
    """The chain spec file cannot be used. The message names the field."""


@dataclass(frozen=True, slots=True)
class Token:
    """The built-in ERC-20 contract over the chain's own coin."""

    name: str = "Quarry"
    symbol: str = "QRY"
    decimals: int = 18
    address: str = "0x0000000000000000000000000000000000005eed"  # EIP-55


@dataclass(frozen=True, slots=True)
class ChainSpec:
    """One chain's constants. Amounts in base units, times in seconds, sizes in bytes of canonical block."""

    name: str
    chain_id: int
    genesis_timestamp: int  # Unix seconds
    development: bool = False  # its keys are public, so nodes bind to loopback only
    rules: RulesName = "standard"
    token: Token = field(default_factory=Token)
    reward: int = COIN  # new coin per block
    allocations: Mapping[str, int] = field(default_factory=dict)  # address -> balance before genesis
    difficulty: int = 65536  # of the first blocks; expected hashes. 65536 = the tutorial's four hex zeros
    block_interval: int = 0  # 0: the difficulty never changes
    max_block_bytes: int = 2**20
    max_block_transactions: int = 4000  # the reward included
    sealers: tuple[str, ...] = ()  # addresses in the order of their bytes; none: anybody may seal
    # Not in the file and not hashed: upgrades (shared/upgrades.py), and the height from which `difficulty` holds.
    stages: tuple["Stage", ...] = ()
    difficulty_from: int = FIRST_MINED

    def at(self, height: int) -> "ChainSpec":
        """The constants by which the block at `height` is judged, with the upgrades up to that height."""
        for stage in reversed(self.stages):
            if height >= stage.height:
                return stage.spec
        return self

    @property
    def upgrades_digest(self) -> str | None:
        """What two nodes compare to see whether they have the same upgrades; None: there are none."""
        return self.stages[-1].digest if self.stages else None

    @property
    def has_sealers(self) -> bool:
        """Whether at some height only sealers may seal."""
        return bool(self.sealers) or any(stage.spec.sealers for stage in self.stages)

    @property
    def largest_block(self) -> int:
        """Bytes that a block may have at some height."""
        return max(self.max_block_bytes, *(stage.spec.max_block_bytes for stage in self.stages), 0)

    def to_object(self) -> dict[str, Any]:
        """The JSON object that is hashed and that `GET /spec` serves: every field, defaults included."""
        # Left out where there are none, so that specs from before the field keep their hash.
        sealers = {"sealers": list(self.sealers)} if self.sealers else {}
        return {
            "name": self.name,
            "development": self.development,
            "rules": self.rules,
            "chain_id": self.chain_id,
            "token": asdict(self.token),
            "reward": format_amount(self.reward),
            "genesis_timestamp": self.genesis_timestamp,
            "allocations": {address: format_amount(amount) for address, amount in self.allocations.items()},
            "difficulty": self.difficulty,
            "block_interval": self.block_interval,
            "max_block_bytes": self.max_block_bytes,
            "max_block_transactions": self.max_block_transactions,
            **sealers,
        }

    @property
    def room(self) -> int:
        """Bytes of canonical transactions, separators included, that a template can hold beside the reward."""
        return self.max_block_bytes - _HEADER_ROOM - _REWARD_ROOM - (_SEALER_ROOM if self.sealers else 0)

    @property
    def hash(self) -> str:
        """SHA-256 of the canonical spec, hex: the genesis block's `previous_hash`."""
        return sha256(canonical(self.to_object())).hex()


@dataclass(frozen=True, slots=True)
class Stage:
    """One upgrade: what holds from a height on."""

    height: int
    changes: Mapping[str, Any]  # field of the spec -> value in JSON, as signed
    signatures: tuple[tuple[str, str], ...]  # public key and signature of each sealer who agreed, hex
    digest: str  # of this upgrade and those before it, hex
    spec: ChainSpec  # all constants from `height` on; it has no stages of its own


def read_spec(text: str) -> ChainSpec:
    """A chain spec from TOML.

    Raises:
        BadChainSpec: naming the field that is unknown, missing or out of range.
    """
    try:
        table = tomllib.loads(text)
    except RecursionError:
        raise BadChainSpec("The chain spec is not valid TOML: it is nested too deeply.") from None
    except ValueError as error:  # TOMLDecodeError is one; so is a number of too many digits
        raise BadChainSpec(f"The chain spec is not valid TOML: {error}.") from None
    return spec_from_object(table)


def spec_from_object(table: Mapping[str, Any]) -> ChainSpec:
    """A chain spec from the form of `ChainSpec.to_object`. Fields that have a default may be missing.

    Raises:
        BadChainSpec: naming the field that is unknown, missing or out of range.
    """
    if unknown := sorted(set(table) - set(SPEC_FIELDS)):
        raise BadChainSpec(f"The chain spec has an unknown field: {unknown[0]}.")
    for name in ("name", "chain_id", "genesis_timestamp"):
        if name not in table:
            raise BadChainSpec(f"The chain spec lacks {name}.")
    spec = ChainSpec(**{name: known.read(table[name], name) for name, known in SPEC_FIELDS.items() if name in table})
    for address in (ZERO_ADDRESS, spec.token.address):
        if address in spec.allocations:
            raise BadChainSpec(f"allocations must not name {address}: nobody has its key.")
    if spec.token.address in spec.sealers:
        raise BadChainSpec(f"sealers must not name {spec.token.address}: nobody has its key.")
    if sum(spec.allocations.values()) + spec.reward > MAX_AMOUNT:
        raise BadChainSpec("allocations and reward together must stay below 2^256 base units.")
    if spec.rules == "tutorial":
        _check_tutorial(spec)
    return spec


def _check_tutorial(spec: ChainSpec) -> None:
    """Refuse values that the tutorial's rules would ignore."""
    if not spec.development:
        raise BadChainSpec('development must be true with rules = "tutorial": nothing is signed there.')
    if spec.allocations:
        raise BadChainSpec('allocations must be empty with rules = "tutorial": there are no balances there.')
    if spec.reward != COIN:
        raise BadChainSpec('reward must be "1" with rules = "tutorial".')
    if spec.block_interval:
        raise BadChainSpec('block_interval must be 0 with rules = "tutorial": the difficulty never changes there.')
    if spec.sealers:
        raise BadChainSpec('sealers must be left out with rules = "tutorial": nothing is signed there.')


def _name(value: Any, name: str) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise BadChainSpec(f"{name} must be 1 to 32 lower-case letters, digits and hyphens.")
    return value


def _rules(value: Any, name: str) -> Any:
    if value not in get_args(RulesName):
        raise BadChainSpec(f"{name} must be {' or '.join(get_args(RulesName))}.")
    return value


def _flag(value: Any, name: str) -> bool:
    if type(value) is not bool:
        raise BadChainSpec(f"{name} must be true or false.")
    return value


def _integer(low: int, high: int) -> Callable[[Any, str], int]:
    def read(value: Any, name: str) -> int:
        if type(value) is not int or not low <= value <= high:
            raise BadChainSpec(f"{name} must be a whole number from {low} to {high}.")
        return value

    return read


def _whole_number(low: int, high: int, meaning: str, shown: str = "") -> "SpecField":
    return SpecField(_integer(low, high), f"a whole number, {low:,} to {shown or f'{high:,}'}", meaning)


def _amount(value: Any, name: str) -> int:
    try:
        return parse_amount(value, field=name)
    except InputError as error:
        raise BadChainSpec(error.message) from None


def _address(value: Any, name: str) -> str:
    try:
        return parse_address(value, field=name)
    except InputError as error:
        raise BadChainSpec(error.message) from None


def _allocations(table: Any, name: str) -> dict[str, int]:
    if not isinstance(table, dict):
        raise BadChainSpec(f"{name} must be a table of addresses and amounts.")
    allocations: dict[str, int] = {}
    for text, value in table.items():
        address = _address(text, name)
        if address in allocations:
            raise BadChainSpec(f"{name} must not name an address twice.")
        allocations[address] = _amount(value, name)
    return allocations


def read_sealers(value: Any, name: str) -> tuple[str, ...]:
    """A list of sealers, sorted: the order in a file does not matter.

    Raises:
        BadChainSpec: it is empty, too long, or names an address that cannot seal, or twice.
    """
    if not isinstance(value, list) or not 0 < len(value) <= MAX_SEALERS:
        raise BadChainSpec(f"{name} must be a list of 1 to {MAX_SEALERS} addresses; left out, anybody may seal.")
    addresses = [_address(item, name) for item in value]
    if len(set(addresses)) < len(addresses):
        raise BadChainSpec(f"{name} must not name an address twice.")
    if ZERO_ADDRESS in addresses:
        raise BadChainSpec(f"{name} must not name the zero address: nobody has its key.")
    return tuple(sorted(addresses, key=str.lower))


def _token(table: Any, name: str) -> Token:
    if not isinstance(table, dict) or set(table) - set(Token.__dataclass_fields__):
        raise BadChainSpec(f"{name} takes name, symbol, decimals and address.")
    token = Token(**table)
    token = replace(token, address=_address(token.address, "token.address"))
    if token.address == ZERO_ADDRESS:
        raise BadChainSpec("token.address must not be the zero address.")
    if type(token.decimals) is not int or token.decimals != 18:
        raise BadChainSpec("token.decimals must be 18: amounts are counted in units of 10^-18.")
    for field_name, text in (("token.name", token.name), ("token.symbol", token.symbol)):
        if not isinstance(text, str) or not 0 < len(text) <= 32 or not is_plain_text(text):
            raise BadChainSpec(f"{field_name} must be 1 to 32 characters.")
    return token


@dataclass(frozen=True, slots=True)
class SpecField:
    """How a field of the spec file is read, and what docs/chain-spec.md says of it."""

    read: Callable[[Any, str], Any]
    form: str  # which values it takes
    meaning: str


# The defaults are those of `ChainSpec`. After a change: python -m shared.spec_page > docs/chain-spec.md
SPEC_FIELDS: Mapping[str, SpecField] = {
    "name": SpecField(
        _name,
        "1 to 32 lower-case letters, digits and hyphens",
        "the chain's name, which `/status` and the pages show; `quarry up` keeps its nodes in a directory of that name",
    ),
    "chain_id": _whole_number(
        1,
        _MAX_CHAIN_ID,
        "in what every sender signs, so that no transaction of one chain is valid on another. Take one that no other "
        "chain of yours has; 847731 to 847734 belong to the built-in specs",
        "2^53 - 1",
    ),
    "genesis_timestamp": _whole_number(
        0,
        MAX_INTEGER,
        "the time of the first block, in Unix seconds. A time in the past: no block may be before it",
        "2^53 - 1",
    ),
    "development": SpecField(
        _flag,
        "`true` or `false`",
        "whether the chain is for one developer: its keys are public, fees may be 0, there are a faucet and control "
        "methods, and its nodes bind to this machine only",
    ),
    "rules": SpecField(
        _rules,
        " or ".join(f"`{name}`" for name in get_args(RulesName)),
        "what makes a block valid: the [standard rules](consensus.md), or [those of the tutorial](tutorial.md)",
    ),
    "token": SpecField(
        _token,
        "a table of `name` and `symbol` (1 to 32 characters), `decimals` (always 18) and `address`",
        "the coin, and the contract by which Ethereum's wallets see it. Those that are left out have their defaults",
    ),
    "reward": SpecField(
        _amount,
        "an amount of coins as text",
        "new coins of each block, for the node that has mined it, which also gets the block's fees",
    ),
    "allocations": SpecField(
        _allocations,
        "a table of addresses, each with an amount of coins as text; not the zero address, nor the token's",
        "who has coins before the first block. With the first reward they stay below 2^256 units of 10^-18 coins",
    ),
    "difficulty": _whole_number(
        1,
        2**200,
        "how many hashes a proof takes on average: in the first blocks, or in all blocks where `block_interval` is 0. "
        "65,536 are the tutorial's four hex zeros",
        "2^200",
    ),
    "block_interval": _whole_number(
        0,
        86400,
        "the seconds between two blocks that the [difficulty](consensus.md#difficulty) is adapted to; 0: it never "
        "changes, and blocks come as fast as they are found",
    ),
    "max_block_bytes": _whole_number(10_000, 2**24, "the most bytes of a block in its canonical form"),
    "max_block_transactions": _whole_number(1, 100_000, "the most transactions of a block, the reward included"),
    "sealers": SpecField(
        read_sealers,
        f"a list of 1 to {MAX_SEALERS} addresses of Ed25519 wallets, in any order",
        "who may seal: each block carries the signature of one of them ([permissioned chains](permissioned.md)). Left "
        "out, anybody may",
    ),
}
