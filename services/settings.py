"""Every setting, its environment variable, its default and its meaning. `docs/settings.md` is this file as a page."""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal, cast

from marshmallow import RAISE, Schema, ValidationError, fields, validate

from services.errors import BadSettings
from services.mempool import PoolPolicy
from services.peers.urls import normal_url
from shared.addresses import parse_address
from shared.amounts import parse_amount
from shared.chain_spec import BadChainSpec, ChainSpec, read_spec
from shared.errors import InputError, RuleError
from shared.rules import rules_for

BUILT_IN_SPECS = ("dev", "network", "tutorial")
# Free transactions would let anybody fill the mempool, so only development chains may have them.
_DEFAULT_MIN_FEE = 10**14  # 0.0001 coin


@dataclass(frozen=True, slots=True)
class Settings:
    """How one node runs. Read once, at the composition root."""

    node: str  # its name: part of every Redis key
    spec: ChainSpec
    redis_url: str  # the chain's
    broker_url: str  # RQ's
    host: str
    port: int
    data_dir: Path
    reward_address: str  # "" where this process does not mine
    admin_token_file: Path | None
    automine: bool
    min_fee: int  # base units
    mine_wait: float  # seconds that /mine waits by default
    max_requests: int
    max_mempool: int
    nonces_ahead: int
    expiry_seconds: int
    record_seconds: int
    max_records: int
    max_body: int  # bytes
    api_processes: int
    api_threads: int  # per process: waiting calls hold one each
    answer_memory: int  # bytes per process that large answers take
    kernel: Literal["auto", "plain", "fast"]
    linger: float  # seconds that a search job waits for the next round
    resolve_seconds: int
    peers: tuple[str, ...]
    max_peers: int
    private_peers: bool
    public_url: str  # where peers reach this node; "" announces nothing
    durability: Literal["always", "everysec", "unsafe"]
    unsafe_development: bool
    allowed_hosts: tuple[str, ...]
    cors_origins: tuple[str, ...]
    log_level: str
    log_format: Literal["console", "json"]

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the node."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:  # a name may come to mean anything
            return False

    @property
    def reaches_private_peers(self) -> bool:
        """Whether peers may be on this machine or in a private network (QUARRY_PRIVATE_PEERS, or a loopback bind)."""
        return self.private_peers or self.loopback

    @property
    def pool_policy(self) -> PoolPolicy:
        return PoolPolicy(
            min_fee=self.min_fee,
            max_transactions=self.max_mempool,
            nonces_ahead=self.nonces_ahead,
            expiry_seconds=self.expiry_seconds,
            record_seconds=self.record_seconds,
            max_records=self.max_records,
        )


# Variables that only the command line reads; a node passes over them.
CLIENT_VARIABLES = frozenset({"QUARRY_URL", "QUARRY_TOKEN", "QUARRY_WALLETS", "QUARRY_PASSPHRASE", "QUARRY_DATA_HOME"})


def _number(name: str, default: int, low: int, high: int) -> fields.Integer:
    return fields.Integer(data_key=f"QUARRY_{name}", load_default=default, validate=validate.Range(low, high))


def _seconds(name: str, default: float, high: float) -> fields.Float:
    return fields.Float(data_key=f"QUARRY_{name}", load_default=default, validate=validate.Range(0, high))


def _choice(name: str, *choices: str) -> fields.String:
    """The first choice is the default."""
    return fields.String(data_key=f"QUARRY_{name}", load_default=choices[0], validate=validate.OneOf(choices))


def _flag(name: str) -> fields.Boolean:
    return fields.Boolean(data_key=f"QUARRY_{name}", load_default=False)


def _text(name: str, default: str | None, check: validate.Validator | None = None) -> fields.String:
    return fields.String(data_key=f"QUARRY_{name}", load_default=default, validate=check)


class _Variables(Schema):
    """The environment variables and what each may hold. None: the default depends on others."""

    node = _text("NODE", "node1", validate.Regexp(r"[a-z0-9][a-z0-9-]{0,31}\Z"))
    spec = _text("SPEC", "dev")
    redis_url = _text("REDIS_URL", "redis://127.0.0.1:6379/0")
    broker_url = _text("BROKER_URL", None)
    host = _text("HOST", "127.0.0.1")
    port = _number("PORT", 5000, 0, 65535)
    data_dir = _text("DATA_DIR", "~/.quarry")
    reward_address = _text("REWARD_ADDRESS", "")
    admin_token_file = _text("ADMIN_TOKEN_FILE", None)
    automine = _flag("AUTOMINE")
    min_fee = _text("MIN_FEE", None)
    mine_wait = _seconds("MINE_WAIT", 10.0, 60)
    max_requests = _number("MAX_MINE_REQUESTS", 64, 1, 10_000)
    max_mempool = _number("MAX_MEMPOOL", 20_000, 1, 1_000_000)
    nonces_ahead = _number("NONCES_AHEAD", 0, 0, 100_000)
    expiry_seconds = _number("MEMPOOL_EXPIRY", 86_400, 1, 31_536_000)
    record_seconds = _number("RECORD_SECONDS", 7 * 86_400, 1, 31_536_000)
    max_records = _number("MAX_RECORDS", 100_000, 1, 10_000_000)
    max_body = _number("MAX_BODY", 2**20, 10_000, 2**26)
    api_processes = _number("API_PROCESSES", 2, 1, 64)
    api_threads = _number("API_THREADS", 160, 4, 1024)
    answer_memory = _number("ANSWER_MEMORY", 24 * 2**20, 2**22, 2**34)
    kernel = _choice("KERNEL", "auto", "plain", "fast")
    linger = _seconds("LINGER", 2.0, 60)
    resolve_seconds = _number("RESOLVE_SECONDS", 10, 1, 3600)
    peers = _text("PEERS", "")
    max_peers = _number("MAX_PEERS", 64, 0, 1024)
    private_peers = _flag("PRIVATE_PEERS")
    public_url = _text("PUBLIC_URL", "")
    durability = _choice("DURABILITY", "always", "everysec", "unsafe")
    unsafe_development = _flag("UNSAFE_DEVELOPMENT")
    allowed_hosts = _text("ALLOWED_HOSTS", "")
    cors_origins = _text("CORS_ORIGINS", "")
    log_level = _choice("LOG_LEVEL", "info", "debug", "warning", "error")
    log_format = _choice("LOG_FORMAT", "console", "json")


VARIABLES: tuple[str, ...] = tuple(str(field.data_key) for field in _Variables().fields.values())


def load(environment: Mapping[str, str]) -> Settings:
    """Settings from environment variables.

    Raises:
        BadSettings: naming the variable that is unknown or cannot be used.
    """
    given = {
        name: value
        for name, value in environment.items()
        if name.startswith("QUARRY_") and value != "" and name not in CLIENT_VARIABLES
    }
    try:
        values: dict[str, Any] = _Variables().load(given, unknown=RAISE)
    except ValidationError as error:
        name, reasons = next(iter(cast(dict[str, list[str]], error.messages).items()))
        raise BadSettings(f"{name}: {reasons[0].rstrip('.')}.") from None
    spec = load_spec(values["spec"])
    settings = Settings(
        **values
        | {
            "spec": spec,
            "broker_url": values["broker_url"] or values["redis_url"],
            "data_dir": Path(values["data_dir"]).expanduser(),
            "reward_address": _address(values["reward_address"], spec),
            "admin_token_file": Path(values["admin_token_file"]) if values["admin_token_file"] else None,
            "min_fee": _min_fee(values["min_fee"], spec),
            "nonces_ahead": values["nonces_ahead"] or (1024 if spec.development else 64),
            "peers": tuple(_peer_url(item) for item in _list(values["peers"])),
            "public_url": _peer_url(values["public_url"]) if values["public_url"] else "",
            "allowed_hosts": _list(values["allowed_hosts"]),
            "cors_origins": _list(values["cors_origins"]),
        }
    )
    _check(settings)
    return settings


def _address(text: str, spec: ChainSpec) -> str:
    if not text:
        return ""
    try:
        address = parse_address(text, field="QUARRY_REWARD_ADDRESS")
        rules_for(spec).check_payee(address, field="QUARRY_REWARD_ADDRESS")
        return address
    except RuleError as error:
        raise BadSettings(error.message) from None


def _peer_url(text: str) -> str:
    try:
        return normal_url(text)
    except InputError as error:
        raise BadSettings(f"QUARRY_PEERS or QUARRY_PUBLIC_URL: {error.message}") from None


def _min_fee(text: str | None, spec: ChainSpec) -> int:
    if text is None:
        return 0 if spec.development else _DEFAULT_MIN_FEE
    try:
        return parse_amount(text, field="QUARRY_MIN_FEE")
    except InputError as error:
        raise BadSettings(error.message) from None


def _list(text: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in text.split(",") if item.strip())


def _check(settings: Settings) -> None:
    """Combinations that cannot be meant."""
    if settings.spec.development and not settings.loopback and not settings.unsafe_development:
        raise BadSettings(
            f"The chain spec {settings.spec.name} is for development: its keys are public. Bind QUARRY_HOST to "
            "127.0.0.1, or say --unsafe-development."
        )
    if settings.min_fee == 0 and not settings.spec.development:
        raise BadSettings("QUARRY_MIN_FEE may be 0 only with a development chain spec.")


def load_spec(name: str) -> ChainSpec:
    """One of the built-in chain specs by its name, or one from a TOML file.

    Raises:
        BadSettings: there is no such file, it cannot be used, or it takes a built-in chain id.
    """
    try:
        if name in BUILT_IN_SPECS:
            return read_spec(_built_in(name))
        path = Path(name).expanduser()
        if not path.is_file():
            raise BadSettings(f"QUARRY_SPEC must be {', '.join(BUILT_IN_SPECS)} or a TOML file; {name} is neither.")
        spec = read_spec(path.read_text("utf-8"))
    except (BadChainSpec, UnicodeDecodeError, OSError) as error:
        raise BadSettings(f"The chain spec {name} cannot be used: {error}") from None
    for built_in in BUILT_IN_SPECS:
        known = read_spec(_built_in(built_in))
        if spec.chain_id == known.chain_id and spec.hash != known.hash:
            raise BadSettings(f"chain_id {spec.chain_id} belongs to the built-in spec {built_in}: choose another.")
    return spec


def _built_in(name: str) -> str:
    import shared

    return (Path(shared.__file__).parent / "chain_specs" / f"{name}.toml").read_text("utf-8")
