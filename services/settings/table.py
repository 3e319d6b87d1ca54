"""Every setting, its environment variable, its default and its meaning. `docs/settings.md` is this file as a page."""

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal, cast

from marshmallow import RAISE, Schema, ValidationError, fields

from services.errors import BadSettings
from services.mempool.judgement import PoolPolicy
from services.peers.urls import normal_url
from services.settings import values as setting_values
from services.settings.hosts import LOCALHOST, normal_host, normal_origin
from services.settings.paths import expanded, expanded_if_possible
from services.settings.redis_url import normal as normal_redis_url
from services.settings.secret_files import read_secret, read_text
from services.settings.values import BadValue, listing, named
from shared.chain_spec import BadChainSpec, ChainSpec, read_spec
from shared.errors import InputError, RuleError
from shared.rules import rules_for

BUILT_IN_SPECS = ("dev", "network", "tutorial")
# Free transactions would let anybody fill the mempool, so only development chains may have them.
_DEFAULT_MIN_FEE = 10**14  # 0.0001 coin
_DEFAULT_DATA_DIR = "~/.quarry"
_MAX_SPEC = 2**22  # bytes of a chain spec's file


@dataclass(frozen=True, slots=True)
class Settings:
    """How one node runs. Read once, at the composition root."""

    node: str  # its name: part of every Redis key
    spec: ChainSpec
    redis_url: str = field(repr=False)  # the chain's, in the one spelling of `redis_url.normal`
    broker_url: str = field(repr=False)  # RQ's
    host: str  # a name or an IP address, without brackets
    port: int
    data_dir: Path | None  # of `quarry up`; None: not given, and this user has no home
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
    passed_over: tuple[str, ...]  # variables that begin as ours and are not: Kubernetes', docker-compose.yml's

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the node."""
        if self.host == LOCALHOST:
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:  # a name may come to mean anything
            return False

    def admin_token(self) -> str | None:
        """The admin's token; None: nobody is admin. Only the API needs it, so only the API reads it.

        Raises:
            BadSettings: the file is missing, can be read by others, or holds no secret.
        """
        if self.admin_token_file is None:
            return None
        return named("QUARRY_ADMIN_TOKEN_FILE", read_secret, self.admin_token_file)

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


# Set in docker-compose.yml's own env file, for docker-compose itself.
COMPOSE_VARIABLES = frozenset({"QUARRY_IMAGE"})
# What Kubernetes tells each container of a service that is called `quarry`, or `quarry-…`.
_SERVICE_VARIABLE = re.compile(
    r"QUARRY_(?:[A-Z0-9_]+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT_[0-9]+_(?:TCP|UDP|SCTP)(?:_[A-Z]+)?)"
)
_SERVICE_ADDRESS = re.compile(r"(?:tcp|udp|sctp)://\S+")


class _Value(fields.Field[Any]):
    """A value that a function reads from its text."""

    def __init__(self, name: str, read: Callable[[str], Any], default: Any) -> None:
        super().__init__(data_key=f"QUARRY_{name}", load_default=default)
        self._read = read

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> Any:
        try:
            return self._read(value)
        except BadValue as error:
            raise ValidationError(str(error)) from None


def _value(name: str, read: Callable[[str], Any], default: Any) -> _Value:
    return _Value(name, lambda text: read(setting_values.clean(text)), default)


def _number(name: str, default: int, low: int, high: int) -> _Value:
    return _value(name, setting_values.whole_number(low, high), default)


def _seconds(name: str, default: float, high: float) -> _Value:
    return _value(name, setting_values.seconds(high), default)


def _choice(name: str, *choices: str) -> _Value:
    """The first choice is the default."""
    return _value(name, setting_values.choice(*choices), choices[0])


def _flag(name: str) -> _Value:
    return _value(name, setting_values.flag, False)


def _list(name: str, item: Callable[[str], Any]) -> _Value:
    return _Value(name, listing(item), ())


def _peer_url(text: str) -> str:
    try:
        return normal_url(text)
    except InputError as error:
        raise BadValue(f"cannot be used: {error.message}") from None


class _Variables(Schema):
    """The environment variables and what each may hold. None: the default depends on others."""

    node = _value("NODE", setting_values.node_name, "node1")
    spec = _value("SPEC", str, "dev")
    redis_url = _value("REDIS_URL", normal_redis_url, "redis://127.0.0.1:6379/0")
    broker_url = _value("BROKER_URL", normal_redis_url, None)
    host = _value("HOST", normal_host, "127.0.0.1")
    port = _number("PORT", 5000, 0, 65535)
    data_dir = _value("DATA_DIR", expanded, None)
    reward_address = _value("REWARD_ADDRESS", setting_values.address, "")
    admin_token_file = _value("ADMIN_TOKEN_FILE", expanded, None)
    automine = _flag("AUTOMINE")
    min_fee = _value("MIN_FEE", setting_values.amount, None)
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
    peers = _list("PEERS", _peer_url)
    max_peers = _number("MAX_PEERS", 64, 0, 1024)
    private_peers = _flag("PRIVATE_PEERS")
    public_url = _value("PUBLIC_URL", _peer_url, "")
    durability = _choice("DURABILITY", "always", "everysec", "unsafe")
    unsafe_development = _flag("UNSAFE_DEVELOPMENT")
    allowed_hosts = _list("ALLOWED_HOSTS", normal_host)
    cors_origins = _list("CORS_ORIGINS", normal_origin)
    log_level = _choice("LOG_LEVEL", "info", "debug", "warning", "error")
    log_format = _choice("LOG_FORMAT", "console", "json")


VARIABLES: tuple[str, ...] = tuple(str(field.data_key) for field in _Variables().fields.values())


def load(environment: Mapping[str, str]) -> Settings:
    """Settings from environment variables.

    Raises:
        BadSettings: naming the variable that is unknown or cannot be used. The message holds no value of a variable
            that may be a secret.
    """
    given = {
        name: value
        for name, value in environment.items()
        if name.startswith("QUARRY_") and value != "" and name not in CLIENT_VARIABLES
    }
    passed_over = tuple(sorted(name for name, value in given.items() if _is_foreign(name, value)))
    known = {name: value for name, value in given.items() if name not in passed_over}
    try:
        values: dict[str, Any] = _Variables().load(known, unknown=RAISE)
    except ValidationError as error:
        name, reasons = next(iter(cast(dict[str, list[str]], error.messages).items()))
        raise BadSettings(f"{name}: {reasons[0] if name in VARIABLES else _unknown(name)}") from None
    spec = load_spec(values["spec"])
    settings = Settings(
        **values
        | {
            "spec": spec,
            "broker_url": values["broker_url"] or values["redis_url"],
            "data_dir": values["data_dir"] or expanded_if_possible(_DEFAULT_DATA_DIR),
            "min_fee": (0 if spec.development else _DEFAULT_MIN_FEE)
            if values["min_fee"] is None
            else values["min_fee"],
            "nonces_ahead": values["nonces_ahead"] or (1024 if spec.development else 64),
            "passed_over": passed_over,
        }
    )
    _check(settings)
    return settings


def _is_foreign(name: str, value: str) -> bool:
    """Whether a variable only begins like one of ours. Whoever names a service `quarry` cannot help having these."""
    if name in COMPOSE_VARIABLES:
        return True
    if name.endswith("_PORT") and _SERVICE_ADDRESS.fullmatch(value):
        return True
    return name not in VARIABLES and _SERVICE_VARIABLE.fullmatch(name) is not None


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name, [*VARIABLES, *CLIENT_VARIABLES], 1, 0.8)
    meant = f" Is {near[0]} meant?" if near else ""
    return f"there is no such setting; unset it.{meant} docs/settings.md lists all of them."


def _check(settings: Settings) -> None:
    """Combinations that cannot be meant."""
    if settings.spec.development and not settings.loopback and not settings.unsafe_development:
        raise BadSettings(
            f"The chain spec {settings.spec.name} is for development: its keys are public. Bind QUARRY_HOST to "
            "127.0.0.1, or say --unsafe-development."
        )
    if settings.min_fee == 0 and not settings.spec.development:
        raise BadSettings("QUARRY_MIN_FEE may be 0 only with a development chain spec.")
    if settings.reward_address:
        try:
            rules_for(settings.spec).check_payee(settings.reward_address, field="QUARRY_REWARD_ADDRESS")
        except RuleError as error:
            raise BadSettings(error.message) from None


def load_spec(name: str) -> ChainSpec:
    """One of the built-in chain specs by its name, or one from a TOML file.

    Raises:
        BadSettings: there is no such file, it cannot be used, or it takes a built-in chain id.
    """
    try:
        if name in BUILT_IN_SPECS:
            return read_spec(_built_in(name))
        path = named("QUARRY_SPEC", expanded, name)
        if not path.exists():
            raise BadSettings(f"QUARRY_SPEC: must be {', '.join(BUILT_IN_SPECS)} or a TOML file; {name} is neither.")
        spec = read_spec(named("QUARRY_SPEC", read_text, path, _MAX_SPEC))
    except BadChainSpec as error:
        raise BadSettings(f"QUARRY_SPEC: the chain spec {name} cannot be used: {error}") from None
    for built_in in BUILT_IN_SPECS:
        known = read_spec(_built_in(built_in))
        if spec.chain_id == known.chain_id and spec.hash != known.hash:
            raise BadSettings(f"chain_id {spec.chain_id} belongs to the built-in spec {built_in}: choose another.")
    return spec


def _built_in(name: str) -> str:
    import shared

    return (Path(shared.__file__).parent / "chain_specs" / f"{name}.toml").read_text("utf-8")
