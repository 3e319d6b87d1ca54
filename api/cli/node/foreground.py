"""Running the nodes of `quarry up` in the foreground: what is printed from their start to their end."""

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from api.cli import terminal
from api.cli.group import INTERRUPTED, USAGE, Failure
from api.cli.node.banner import MOST_BALANCES, Accounts, Chain, Shown, banner
from api.cli.node.interruption import Interruption
from api.cli.node.new_chain import Place, write_config
from services.launch.failures import LaunchFailed, PortInUse
from services.launch.launch import Launch
from services.launch.launcher import RunningNode
from services.launch.node_plan import NodePlan
from services.launch.peer_router import PeerRouter
from services.launch.running import call
from services.wallet.development import accounts_of, funded, phrase_of
from shared.amounts import format_amount
from shared.rules import rules_for


@dataclass(frozen=True, slots=True)
class Show:
    """What is to be printed or written."""

    as_json: bool = False
    quiet: bool = False
    config_out: Path | None = None
    wallets: Path | None = None  # where this user's wallets lie, whose names are printed

    @property
    def talks(self) -> bool:
        """Whether steps, banner and events are printed."""
        return not (self.as_json or self.quiet)


def run(
    plans: list[NodePlan], place: Place, show: Show, interruption: Interruption, router: PeerRouter | None = None
) -> None:
    """Start nodes and keep them running until a signal comes; then stop them.

    Args:
        router: what the nodes reach each other through; None: directly.

    Raises:
        Failure: a port is in use, or a signal came during the start. NodeError: a node did not start, or all were
            given up.
    """
    launch = Launch(plans, _step if show.talks else lambda step: None, router)
    try:
        with interruption.may_raise():
            launch.start()
        for node in launch.nodes:
            if node.fault:
                terminal.say(f"quarry: {node.plan.name}: {node.fault}")
        if show.config_out is not None:
            _write_config(show.config_out, launch)
        if show.as_json:
            terminal.show_json(_as_json(launch, place))
        elif show.talks:
            terminal.show("", *_banner(launch, place), "")
            _watch(launch, interruption, show.wallets)
        launch.run(interruption.event)
        if show.talks:
            terminal.show_if_taken("Stopping …")
    except PortInUse as error:
        raise Failure(str(error), USAGE) from None
    except LaunchFailed as error:
        for text in error.tail:
            terminal.say(f"  {text}")
        raise
    except KeyboardInterrupt:
        raise Failure("Interrupted during the start; everything was stopped.", INTERRUPTED) from None
    finally:
        launch.stop()


def _step(text: str) -> None:
    terminal.show(*terminal.folded(f"- {text}", terminal.columns()))


def _watch(launch: Launch, interruption: Interruption, wallets: Path | None) -> None:
    from api.cli.node.watching import Watcher
    from api.cli.wallet.names import Names, account_names

    first = launch.nodes[0]
    others = dict(account_names(account.address for account in accounts_of(first.settings)))
    others |= {node.address: node.plan.name for node in launch.nodes[1:]} | {first.address: "node"}
    names = None if wallets is None else Names(wallets=wallets, others=others)
    for node in launch.nodes:
        name = node.plan.name
        Watcher(
            name,
            name if launch.nodes[1:] else "",
            node.redis_url,
            node.settings.spec.token.symbol,
            [node.plan.files.logs / f"{program}.log" for program in ("api", "rpc")],
            (lambda address: "") if names is None else names.of,
        ).start(interruption.event)


def _as_json(launch: Launch, place: Place) -> dict[str, Any]:
    """What --json prints. It holds the store's password."""
    first = launch.nodes[0]
    value: dict[str, Any] = {
        "nodes": [
            {
                "name": node.plan.name,
                "url": node.url,
                "rpc_url": node.rpc_url,
                "ws_url": node.ws_url,
                "address": node.address,
                "logs": str(node.plan.files.logs),
            }
            for node in launch.nodes
        ],
        "data_dir": str(place.directory),
        "admin_token_file": str(first.admin_token_file),
        "redis_url": first.redis_url,
    }
    if launch.router is not None:
        value["links_url"] = launch.router.url
    if first.settings.spec.development:
        value["development_accounts"] = [
            {"address": account.address, "private_key": account.private_key} for account in accounts_of(first.settings)
        ]
    if place.made is not None:
        value["mnemonic"] = place.made.read().phrase
    return value


def _write_config(file: Path, launch: Launch) -> None:
    first = launch.nodes[0]
    spec = first.settings.spec
    price, block = call(first.url, ("eth_gasPrice", []), ("eth_getBlockByNumber", ["latest", False]))
    latest = block or {}  # the tutorial's chain has no JSON-RPC
    known = {"base_fee": latest.get("baseFeePerGas"), "gas_limit": latest.get("gasLimit"), "gas_price": price}
    write_config(
        file,
        accounts_of(first.settings),
        phrase_of(first.settings),
        {
            # Numbers as decimal texts, as anvil writes them.
            **{name: str(int(value, 16)) for name, value in known.items() if value is not None},
            "genesis_timestamp": str(spec.genesis_timestamp),
            "chain_id": spec.chain_id,
            "url": first.url,
            "rpc_url": first.rpc_url,
            "ws_url": first.ws_url,
            "nodes": [
                {"name": node.plan.name, "url": node.url, "rpc_url": node.rpc_url, "ws_url": node.ws_url}
                for node in launch.nodes
            ],
        },
    )


def _banner(launch: Launch, place: Place) -> list[str]:
    first = launch.nodes[0]
    spec = first.settings.spec
    accounts = funded(first.settings)
    few = accounts if len(accounts) <= MOST_BALANCES else ()
    asked = [("eth_getBalance", [account.address, "latest"]) for account in few]
    found = call(first.url, *asked) if asked else []
    balances = [None if balance is None else format_amount(int(balance, 16)) for balance in found]
    notes = []
    phrase = ""
    if place.made is not None:
        if place.is_new:
            phrase = place.made.read().phrase
        else:
            notes.append(f"  Continues    the chain in {place.made.directory}")
    if launch.router is not None:
        notes.append(f"  Links        {launch.router.url}")
    if place.ephemeral:
        notes.append("  Ephemeral    the chain is removed when this command ends")
    return banner(
        [_shown(node) for node in launch.nodes],
        Chain(
            spec.name,
            spec.chain_id,
            spec.token.symbol,
            first.plan.workers,
            rules_for(spec).has_accounts,
            notes,
        ),
        Accounts(len(accounts), balances, phrase),
        terminal.columns(),
        _shell_line(),
    )


def _shell_line() -> str:
    """The command after which a shell finds `quarry`; "" if it finds it, or this is no program of that name."""
    program = Path(sys.argv[0])
    if program.name != "quarry" or shutil.which("quarry") is not None:
        return ""
    return f'export PATH="{program.absolute().parent}:$PATH"'


def _shown(node: RunningNode) -> Shown:
    return Shown(
        node.plan.name,
        node.url,
        node.rpc_url,
        node.ws_url,
        node.address,
        str(node.admin_token_file),
        str(node.plan.files.directory),
    )
