"""The plan of a node that `quarry up` starts: its files, its options, and the environment of its processes."""

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from services.launch.node_files import NodeFiles
from services.settings.table import CLIENT_VARIABLES, Settings, load
from services.wallet import keyring


@dataclass(frozen=True)
class NodePlan:
    """One node to start on this machine."""

    name: str
    files: NodeFiles
    spec: str  # name of a built-in spec, or a file
    host: str = "127.0.0.1"
    port: int = 5000  # 0: any that is free
    rpc_port: int = 8545  # of the door for wallets and tools; 0: any that is free
    rpc_port_is_asked: bool = False  # False: if it is taken, the next free one will do
    door: bool = True  # False: JSON-RPC is at the API's `/rpc` only, and no WebSocket is served
    workers: int = 1  # mining workers
    automine: bool = True
    redis_url: str | None = field(default=None, repr=False)  # None: an embedded Valkey
    unsafe_development: bool = False
    settings: Mapping[str, str] = field(default_factory=dict, repr=False)  # further QUARRY_ variables
    load_state: Path | None = None  # a state file that it begins with
    resume: bool = False  # keep a chain that holds the tip of that state
    dump_state: Path | None = None  # a state file that is written at its end
    wallets: Path | None = None  # wallets whose names its pages show, unless the settings say

    def environment(
        self,
        address: str,
        port: int,
        redis_url: str,
        public_url: str = "",
        others: Sequence[str] = (),
        rpc_port: int | None = None,
    ) -> dict[str, str]:
        """The QUARRY_ variables of the node's processes.

        Args:
            public_url: where other nodes reach this one, unless the settings say; "": unknown.
            others: URLs of nodes on this machine, which become its peers.
            rpc_port: None: as planned; 0: nobody is told of one.
        """
        peers = [self.settings.get("QUARRY_PEERS", ""), *others]
        private = {"QUARRY_PRIVATE_PEERS": "true"} if others else {}
        return {
            "QUARRY_PUBLIC_URL": public_url,
            **self.settings,
            **private,
            "QUARRY_PEERS": ",".join(peer for peer in peers if peer),
            "QUARRY_NODE": self.name,
            "QUARRY_SPEC": self.spec,
            "QUARRY_HOST": self.host,
            "QUARRY_PORT": str(port),
            "QUARRY_RPC_PORT": str(self.rpc_port if rpc_port is None else rpc_port),
            "QUARRY_REDIS_URL": redis_url,
            "QUARRY_DATA_DIR": str(self.files.directory),
            "QUARRY_REWARD_ADDRESS": self.settings.get("QUARRY_REWARD_ADDRESS") or address,
            "QUARRY_SEALER_KEY_FILE": self.settings.get("QUARRY_SEALER_KEY_FILE") or self._own_key(),
            "QUARRY_PAYOUT_KEY_FILE": self.settings.get("QUARRY_PAYOUT_KEY_FILE") or self._own_key(),
            "QUARRY_ADMIN_TOKEN_FILE": self.settings.get("QUARRY_ADMIN_TOKEN_FILE") or str(self.files.admin_token),
            "QUARRY_NAMED_WALLETS": self.settings.get("QUARRY_NAMED_WALLETS") or str(self.wallets or ""),
            "QUARRY_AUTOMINE": str(self.automine).lower(),
            "QUARRY_UNSAFE_DEVELOPMENT": str(self.unsafe_development).lower(),
        }

    def _own_key(self) -> str:
        """The file of the node's own key, which signs its templates and payouts if the settings name no other; "" if it
        needs a passphrase, and before it is made.
        """
        file = self.files.directory / keyring.PRIVATE_KEY
        with contextlib.suppress(keyring.KeyringError):
            return str(file) if file.is_file() and not keyring.is_encrypted(file) else ""
        return ""  # it is reported when the keys are prepared

    def check(self) -> Settings:
        """The settings that the node will have. Nothing is started or written.

        Raises:
            BadSettings: naming the one that cannot be used.
        """
        return load(self.environment("", self.port, self.redis_url or "redis://127.0.0.1/0"))

    def named_servers(self, settings: Settings) -> Iterator[tuple[str, str]]:
        """The servers that are somebody else's, each with the setting that names it."""
        if self.redis_url is not None:
            yield self.redis_url, "QUARRY_REDIS_URL or --redis-url"
        if settings.broker_url != settings.redis_url:
            yield settings.broker_url, "QUARRY_BROKER_URL"


def passed_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """The settings in our own environment, for `NodePlan.settings`, without those of the command line.

    Unknown QUARRY_ variables are included, so that `NodePlan.check` can name them.
    """
    return {
        name: value
        for name, value in environment.items()
        if name.startswith("QUARRY_") and name not in CLIENT_VARIABLES
    }


def default_workers() -> int:
    """One mining worker for each core that this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
