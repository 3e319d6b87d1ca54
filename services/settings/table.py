"""The table of settings: environment variables, how each is read, their defaults, and what workers take of them.

docs/settings.md describes the same variables for operators; tests compare the two.
"""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from services.errors import BadSettings
from services.peers.urls import normal_url
from services.settings import values
from services.settings.hosts import is_loopback, normal_host, normal_origin
from services.settings.keeping import check_keep
from services.settings.paths import DEFAULT_HOME, expanded, expanded_if_possible
from services.settings.proxy_url import normal as normal_proxy_url
from services.settings.redis_url import normal as normal_redis_url
from services.settings.redis_url import normal_store
from services.settings.rows import AS_IT_IS, Carried, number, one_of, row_of, setting, several
from services.settings.values import BadValue, named
from services.system.text_files import read_secret, read_text_file
from shared.amounts import format_amount, parse_amount
from shared.chain_spec import BadChainSpec, ChainSpec, read_spec
from shared.errors import InputError, RuleError
from shared.rules import rules_for
from shared.upgrades import BadUpgrades, packed, read_upgrades, unpacked
from shared.wire import parse

BUILT_IN_SPECS = ("dev", "lab", "network", "tutorial")
# Only development chains have free transactions: anyone could fill the mempool with them.
_DEFAULT_MIN_FEE = 10**14  # 0.0001 coin
_MAX_SPEC = 2**22  # bytes of a chain spec's file

_AS_OBJECT = Carried(packed, unpacked)
_AS_AMOUNT = Carried(format_amount, parse_amount)
_AS_LIST = Carried(list, tuple)


def _peer_url(text: str) -> str:
    try:
        return normal_url(text)
    except InputError as error:
        raise BadValue(f"cannot be used: {error.message}") from None


@dataclass(frozen=True, slots=True)
class Settings:
    """How one node runs. Read once, at the composition root.

    Each field is one row of the table. A default may depend on the fields above it. URLs that may hold a password are
    left out of the repr.
    """

    # The node's name: part of every Redis key.
    node: str = field(metadata=setting("NODE", values.node_name, "node1"))
    spec: ChainSpec = field(
        metadata=setting("SPEC", lambda text: load_spec(text), lambda above: load_spec("dev"), _AS_OBJECT)
    )
    # The file with the upgrades that `spec` has (`load` reads it); None: it has none.
    upgrades_file: Path | None = field(metadata=setting("UPGRADES_FILE", expanded))
    # The private key that signs templates where only sealers may seal; None: this process signs none.
    sealer_key_file: Path | None = field(metadata=setting("SEALER_KEY_FILE", expanded))
    # Where the chain is, in the one spelling of `redis_url.normal`.
    redis_url: str = field(
        repr=False, metadata=setting("REDIS_URL", normal_store, "redis://127.0.0.1:6379/0", AS_IT_IS)
    )
    # Where RQ's jobs are.
    broker_url: str = field(
        repr=False, metadata=setting("BROKER_URL", normal_redis_url, lambda above: above["redis_url"])
    )
    # A name or an IP address, without brackets.
    host: str = field(metadata=setting("HOST", normal_host, "127.0.0.1"))
    port: int = field(metadata=number("PORT", 5000, 0, 65535))
    # Of the door for wallets and tools: JSON-RPC over HTTP and WebSocket (`quarry rpc`).
    rpc_port: int = field(metadata=number("RPC_PORT", 8545, 0, 65535))
    # Of `quarry up`; None: not set, and this user has no home.
    data_dir: Path | None = field(
        metadata=setting("DATA_DIR", expanded, lambda above: expanded_if_possible(DEFAULT_HOME))
    )
    # "" where this process does not mine.
    reward_address: str = field(metadata=setting("REWARD_ADDRESS", values.address, "", AS_IT_IS))
    admin_token_file: Path | None = field(metadata=setting("ADMIN_TOKEN_FILE", expanded))
    # A file with the recovery phrase of the development accounts; None: they are those of anvil.
    development_mnemonic_file: Path | None = field(metadata=setting("DEVELOPMENT_MNEMONIC_FILE", expanded))
    # A directory of wallets, whose names pages show; None: they show none.
    named_wallets: Path | None = field(metadata=setting("NAMED_WALLETS", expanded))
    automine: bool = field(metadata=setting("AUTOMINE", values.flag, False, AS_IT_IS))
    # Seconds between two blocks that the ticker asks for; 0: it asks for none.
    block_time: float = field(metadata=setting("BLOCK_TIME", values.pause(0.1, 86_400), 0.0))
    # always: a round is always open.
    mine: Literal["asked", "always"] = field(metadata=one_of("MINE", "asked", "always", carried=AS_IT_IS))
    # Base units.
    min_fee: int = field(
        metadata=setting(
            "MIN_FEE", values.amount, lambda above: 0 if above["spec"].development else _DEFAULT_MIN_FEE, _AS_AMOUNT
        )
    )
    # Seconds that /mine waits by default.
    mine_wait: float = field(metadata=setting("MINE_WAIT", values.seconds(60), 10.0))
    max_requests: int = field(metadata=number("MAX_MINE_REQUESTS", 64, 1, 10_000, AS_IT_IS))
    max_mempool: int = field(metadata=number("MAX_MEMPOOL", 20_000, 1, 1_000_000, AS_IT_IS))
    nonces_ahead: int = field(
        metadata=setting(
            "NONCES_AHEAD",
            values.whole_number(1, 100_000),
            lambda above: 1024 if above["spec"].development else 64,
            AS_IT_IS,
        )
    )
    expiry_seconds: int = field(metadata=number("MEMPOOL_EXPIRY", 86_400, 1, 31_536_000, AS_IT_IS))
    record_seconds: int = field(metadata=number("RECORD_SECONDS", 7 * 86_400, 1, 31_536_000, AS_IT_IS))
    max_records: int = field(metadata=number("MAX_RECORDS", 100_000, 1, 10_000_000, AS_IT_IS))
    # Blocks that lie so deep are packed; 0: none is.
    pack_depth: int = field(metadata=number("PACK_DEPTH", 1000, 0, 2**31, AS_IT_IS))
    # Blocks at the end of the chain whose bodies are kept; 0: all bodies are.
    keep: int = field(metadata=number("KEEP", 0, 0, 2**31, AS_IT_IS))
    # Rewards are shared with miners once their block lies so deep; 0: never.
    payout_depth: int = field(metadata=number("PAYOUT_DEPTH", 0, 0, 100_000))
    # Of the shares by which a reward is divided: hashes, as a multiple of the block's difficulty.
    payout_window: int = field(metadata=number("PAYOUT_WINDOW", 2, 1, 100))
    # Of each reward, what the node keeps; ten-thousandths.
    payout_kept: int = field(metadata=number("PAYOUT_KEPT", 0, 0, 10_000))
    # The private key of the reward address, which pays; the ticker alone reads it.
    payout_key_file: Path | None = field(metadata=setting("PAYOUT_KEY_FILE", expanded))
    # Bytes.
    max_body: int = field(metadata=number("MAX_BODY", 2**20, 10_000, 2**26))
    api_processes: int = field(metadata=number("API_PROCESSES", 2, 1, 64))
    # Per process: each waiting call holds one.
    api_threads: int = field(metadata=number("API_THREADS", 160, 4, 1024))
    # Bytes per process that large answers take together.
    answer_memory: int = field(metadata=number("ANSWER_MEMORY", 24 * 2**20, 2**22, 2**34))
    kernel: Literal["auto", "plain", "fast"] = field(metadata=one_of("KERNEL", "auto", "plain", "fast"))
    # Most hashes per second of one mining worker; 0: no limit.
    hash_rate: int = field(metadata=setting("HASH_RATE", values.hash_rate, 0))
    # For `quarry_workers_wanted`: seconds of a round; hashes per second of all workers, 0: of one.
    target_round: float = field(metadata=setting("TARGET_ROUND", values.pause(0.1, 86_400), 10.0))
    target_rate: int = field(metadata=setting("TARGET_RATE", values.hash_rate, 0))
    # Seconds that a search job waits for the next round.
    linger: float = field(metadata=setting("LINGER", values.seconds(60), 2.0))
    # What the names of workers begin with; "": the machine's name.
    worker_name: str = field(metadata=setting("WORKER_NAME", values.node_name, ""))
    resolve_seconds: int = field(metadata=number("RESOLVE_SECONDS", 10, 1, 3600, AS_IT_IS))
    peers: tuple[str, ...] = field(metadata=several("PEERS", _peer_url, _AS_LIST))
    max_peers: int = field(metadata=number("MAX_PEERS", 64, 0, 1024, AS_IT_IS))
    private_peers: bool = field(metadata=setting("PRIVATE_PEERS", values.flag, False, AS_IT_IS))
    # The forward proxy for all requests to peers, in the one spelling of `proxy_url.normal`; "": none.
    peer_proxy: str = field(repr=False, metadata=setting("PEER_PROXY", normal_proxy_url, "", AS_IT_IS))
    # Whether the proxy resolves the names of peers, in place of this node.
    peer_proxy_resolves: bool = field(metadata=setting("PEER_PROXY_RESOLVES", values.flag, False, AS_IT_IS))
    # Where peers reach this node; "": it announces nothing.
    public_url: str = field(metadata=setting("PUBLIC_URL", _peer_url, "", AS_IT_IS))
    durability: Literal["always", "everysec", "unsafe"] = field(
        metadata=one_of("DURABILITY", "always", "everysec", "unsafe")
    )
    unsafe_development: bool = field(metadata=setting("UNSAFE_DEVELOPMENT", values.flag, False))
    allowed_hosts: tuple[str, ...] = field(metadata=several("ALLOWED_HOSTS", normal_host))
    cors_origins: tuple[str, ...] = field(metadata=several("CORS_ORIGINS", normal_origin))
    # Where traces go (OTLP over HTTP); "": nothing is traced. And the share of those that could begin, 0 to 1.
    traces_url: str = field(metadata=setting("TRACES_URL", values.collector_url, ""))
    traces_share: float = field(metadata=setting("TRACES_SHARE", values.share, 0.05))
    log_level: str = field(metadata=one_of("LOG_LEVEL", "info", "debug", "warning", "error"))
    log_format: Literal["console", "json"] = field(metadata=one_of("LOG_FORMAT", "console", "json"))
    # Not from the table: variables that begin with QUARRY_ and belong to Kubernetes or docker-compose.yml.
    passed_over: tuple[str, ...]
    # Not from the table: whether another process of the node signs templates. Its card says so to workers.
    signs_elsewhere: bool = False

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the node."""
        return is_loopback(self.host)

    def admin_token(self) -> str | None:
        """The admin token; None: there is no admin. Only the API needs it, so only the API reads the file.

        Raises:
            BadSettings: the file is missing, can be read by others, or holds no secret.
        """
        if self.admin_token_file is None:
            return None
        return named("QUARRY_ADMIN_TOKEN_FILE", read_secret, self.admin_token_file)

    @property
    def reaches_private_peers(self) -> bool:
        """Whether peers may be on this machine or in a private network: if set, or if the API binds to loopback."""
        return self.private_peers or self.loopback


# The rows of the table, by the names of their fields.
TABLE = {item.name: row for item in fields(Settings) if (row := row_of(item)) is not None}
VARIABLES = tuple(row.variable for row in TABLE.values())

# Read by the command line only; a node ignores them.
CLIENT_VARIABLES = frozenset(
    {"QUARRY_URL", "QUARRY_TOKEN", "QUARRY_VOUCHER", "QUARRY_WALLETS", "QUARRY_PASSPHRASE", "QUARRY_DATA_HOME"}
)
# Set in the env file of docker-compose.yml, for docker-compose itself.
COMPOSE_VARIABLES = frozenset({"QUARRY_IMAGE", "QUARRY_MINER_IMAGE"})
# What Kubernetes sets in each container for a service that is called `quarry` or `quarry-…`.
_SERVICE_VARIABLE = re.compile(
    r"QUARRY_(?:[A-Z0-9_]+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT_[0-9]+_(?:TCP|UDP|SCTP)(?:_[A-Z]+)?)"
)
_SERVICE_ADDRESS = re.compile(r"(?:tcp|udp|sctp)://\S+")


def load(environment: Mapping[str, str]) -> Settings:
    """Settings from environment variables.

    Raises:
        BadSettings: a variable is unknown or cannot be used. The message names the variable, and never repeats a value
            that may hold a secret.
    """
    given = {
        name: value
        for name, value in environment.items()
        if name.startswith("QUARRY_") and value != "" and name not in CLIENT_VARIABLES
    }
    passed_over = tuple(sorted(name for name, value in given.items() if _is_foreign(name, value)))
    known = {name: value for name, value in given.items() if name not in passed_over}
    found: dict[str, Any] = {}
    for name, row in TABLE.items():
        text = known.pop(row.variable, None)
        found[name] = row.default_after(found) if text is None else named(row.variable, row.read, text)
    for variable in sorted(known):
        raise BadSettings(f"{variable}: {_unknown(variable)}")
    if found["upgrades_file"] is not None:
        found["spec"] = upgraded(found["spec"], found["upgrades_file"])
    settings = Settings(**found, passed_over=passed_over)
    _check(settings)
    return settings


def _is_foreign(name: str, value: str) -> bool:
    """Whether Kubernetes or docker-compose sets this variable: its name begins with QUARRY_, but it is no setting."""
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
    """Refuse combinations that cannot be intended."""
    if settings.spec.development and not settings.loopback and not settings.unsafe_development:
        raise BadSettings(
            f"The chain spec {settings.spec.name} is for development: its keys are public. Set QUARRY_HOST to "
            "127.0.0.1, or use --unsafe-development."
        )
    if settings.development_mnemonic_file is not None and not settings.spec.development:
        raise BadSettings(
            f"QUARRY_DEVELOPMENT_MNEMONIC_FILE: the chain spec {settings.spec.name} is not for development."
        )
    if settings.upgrades_file is not None and settings.spec.rules == "tutorial":
        raise BadSettings("QUARRY_UPGRADES_FILE: a chain of the tutorial's rules cannot be upgraded.")
    if settings.payout_depth and settings.spec.rules == "tutorial":
        raise BadSettings("QUARRY_PAYOUT_DEPTH: on a chain of the tutorial's rules there are no accounts that pay.")
    if settings.keep:
        check_keep(settings.keep, settings.spec, settings.pack_depth, settings.payout_depth)
    if settings.peer_proxy_resolves and not settings.peer_proxy:
        raise BadSettings("QUARRY_PEER_PROXY_RESOLVES needs QUARRY_PEER_PROXY, the proxy that is to resolve names.")
    if settings.block_time and settings.spec.block_interval:
        raise BadSettings(
            f"QUARRY_BLOCK_TIME needs a chain spec with block_interval = 0: in {settings.spec.name} the difficulty "
            "makes the time between blocks. QUARRY_MINE=always mines there without being asked."
        )
    if settings.mine == "always" and not settings.spec.block_interval:
        raise BadSettings(
            f"QUARRY_MINE=always needs a chain spec with a block_interval: the difficulty of {settings.spec.name} is "
            "constant, so blocks would follow one another without a pause. QUARRY_BLOCK_TIME mines one every so many "
            "seconds."
        )
    if settings.min_fee == 0 and not settings.spec.development:
        raise BadSettings("QUARRY_MIN_FEE may be 0 only with a development chain spec.")
    if settings.reward_address:
        try:
            rules_for(settings.spec).check_payee(settings.reward_address, field="QUARRY_REWARD_ADDRESS")
        except RuleError as error:
            raise BadSettings(error.message) from None


def load_spec(name: str, setting: str = "QUARRY_SPEC") -> ChainSpec:
    """A built-in chain spec by its name, or one from a TOML file.

    Args:
        setting: what named it; the message begins with it.

    Raises:
        BadSettings: there is no such file, it cannot be used, or it has the chain id of a built-in spec.
    """
    try:
        if name in BUILT_IN_SPECS:
            return read_spec(_built_in(name))
        path = named(setting, expanded, name)
        if not path.exists():
            raise BadSettings(f"{setting}: must be {', '.join(BUILT_IN_SPECS)} or a TOML file; {name} is neither.")
        spec = read_spec(named(setting, _read_spec_file, path))
    except BadChainSpec as error:
        raise BadSettings(f"{setting}: the chain spec {name} cannot be used: {error}") from None
    for built_in in BUILT_IN_SPECS:
        known = read_spec(_built_in(built_in))
        if spec.chain_id == known.chain_id and spec.hash != known.hash:
            raise BadSettings(f"chain_id {spec.chain_id} belongs to the built-in spec {built_in}: choose another.")
    return spec


def upgraded(spec: ChainSpec, path: Path) -> ChainSpec:
    """`spec` with the upgrades of a file.

    Raises:
        BadSettings: the file cannot be used, or too few sealers have signed it.
    """
    try:
        content = named("QUARRY_UPGRADES_FILE", lambda: read_text_file(path, limit=_MAX_SPEC, pipes=False))
        return read_upgrades(parse(content), spec)
    except InputError as error:
        raise BadSettings(f"QUARRY_UPGRADES_FILE: {path} is not strict JSON: {error.message}") from None
    except BadUpgrades as error:
        raise BadSettings(f"QUARRY_UPGRADES_FILE: {path} cannot be used: {error}") from None


def _read_spec_file(path: Path) -> str:
    return read_text_file(path, limit=_MAX_SPEC, pipes=False).decode()  # no pipes: each process of a node reads it


def _built_in(name: str) -> str:
    import shared

    return (Path(shared.__file__).parent / "chain_specs" / f"{name}.toml").read_text("utf-8")
