"""The root command: the table of commands, and the one place that turns errors into messages and exit codes."""

import os
import sys
import traceback
from importlib import import_module
from typing import Any

import click

from api.cli import terminal
from api.cli.suggestions import Group
from api.cli.usage import one_sentence
from services.system.about import VERSION
from services.system.loading import uncollected
from services.system.programs import structlog_without_rich
from shared.errors import NodeError

_HELP_WIDTH = 100  # columns at most
OK, FAILED, USAGE, UNREACHABLE, INTERRUPTED = 0, 1, 2, 3, 130

_EXIT_CODES = "Exit codes: 0 done, 1 refused or failed, 2 wrong usage or settings, 3 no node answers, 130 interrupted."


# Name: (module, attribute, line for `quarry help`, which commands may share). Modules are in the rooms wallet/, chain/
# and node/.
COMMANDS = {
    "up": ("api.cli.node.up", "up", "Start a node, with everything it needs, on this machine."),
    "demo": ("api.cli.node.demo", "demo", "Run a complete example on a node of its own, and check it."),
    "status": ("api.cli.node.status", "status", "Show what the node is doing."),
    "wallet": ("api.cli.wallet.wallet", "wallet", "Make, list, show, import and export wallets; sign."),
    "balance": ("api.cli.wallet.balance", "balance", "Show the balances of wallets and addresses."),
    "send": ("api.cli.wallet.send", "send", "Send coins from a wallet."),
    "faucet": ("api.cli.wallet.faucet", "faucet", "Get ten coins on a development chain."),
    "tx": ("api.cli.wallet.tx", "tx", "Look up a transaction."),
    "mine": ("api.cli.node.mine", "mine", "Mine blocks."),
    "limit": ("api.cli.node.limit", "limit", "Limit the node's hash rate, or show the limit."),
    "fork": ("api.cli.node.fork", "fork", "Replace the last blocks of a development chain."),
    "chain": ("api.cli.chain.chain", "chain", "Show, verify, export, import the chain."),
    "upgrade": ("api.cli.chain.upgrade", "upgrade", "Plan its upgrades."),
    "anchor": ("api.cli.chain.anchor", "anchor", "Put a file's digest on the chain, and keep a proof."),
    "verify-anchor": (
        "api.cli.chain.verify_anchor",
        "verify_anchor",
        "Verify the proof of a file's anchor, offline.",
    ),
    "logs": ("api.cli.node.logs", "logs", "Show the logs of the node that runs on this machine."),
    "reset": ("api.cli.node.reset", "reset", "Remove a node's chain, to begin a new one; its keys stay."),
    "backup": ("api.cli.node.backup", "backup", "Keep a node in an encrypted file."),
    "restore": ("api.cli.node.restore", "restore", "Make a node of such a file."),
    "bench": ("api.cli.node.bench", "bench", "Measure this machine, and compare each figure with its target."),
    "doctor": ("api.cli.node.doctor", "doctor", "Check this machine and the node for problems."),
    "repair": ("api.cli.chain.repair", "repair", "Correct what is stored where it differs from the blocks."),
    "peers": ("api.cli.node.peers", "peers", "Add, list and remove peers."),
    "names": ("api.cli.node.names", "names", "Name addresses on the node's pages."),
    "token": ("api.cli.node.token", "token", "Give others some of the admin's rights."),
    "miner": ("api.cli.node.processes", "miner", "Mine for a node over HTTP, with a voucher."),
    "voucher": ("api.cli.node.voucher", "voucher", "Let others mine."),
    "lab": ("api.cli.node.lab", "lab", "Break a network and watch it heal."),
    "attack": ("api.cli.node.attack", "attack", "Attack your own application."),
    "help": ("api.cli.help", "show_help", "Say what each command does, or show the help of one."),
    "api": ("api.cli.node.processes", "api", "Run the HTTP server (settings from the environment)."),
    "rpc": ("api.cli.node.processes", "rpc", "Run JSON-RPC for wallets (settings from the environment)."),
    "worker": ("api.cli.node.processes", "worker", "Run one worker (settings from the environment)."),
    "ticker": ("api.cli.node.processes", "ticker", "Run the ticker (settings from the environment)."),
}
# In `quarry --help`, which fits a terminal of 24 rows: the commands that have a line each, and the others by subject.
FIRST = ("up", "demo", "status", "wallet", "balance", "send", "mine")
PROCESSES = ("api", "rpc", "worker", "ticker")
MORE = {
    "chain": ("faucet", "tx", "chain", "upgrade", "fork", "repair", "anchor", "verify-anchor"),
    "node": ("logs", "doctor", "peers", "names", "token", "voucher", "limit", "reset"),
    "tools": ("backup", "restore", "bench", "lab", "attack"),
    "processes": (*PROCESSES, "miner"),
}


class Failure(click.ClickException):
    """A command failed, and one sentence says why. The sentence is printed, without a traceback."""

    def __init__(self, message: str, exit_code: int = FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc] # click reads it from the instance

    def show(self, file: Any = None) -> None:
        terminal.say(f"quarry: {self.format_message()}")


class Unreachable(Failure):
    """No node answers at the address."""

    def __init__(self, message: str) -> None:
        super().__init__(message, UNREACHABLE)


class LazyGroup(Group):
    """The commands of `COMMANDS`. A command's module is imported when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        with uncollected(), structlog_without_rich():
            command: click.Command = getattr(import_module(module), attribute)
        return command

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands first, since they are what is looked for, and the two options in one line."""
        self.format_commands(ctx, formatter)
        formatter.write_paragraph()
        formatter.write_text(f"Options: -h or --help, --version. {_EXIT_CODES}")

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands from the tables, so that --help imports none of them."""
        with formatter.section("First commands"):
            formatter.write_dl([(name, COMMANDS[name][2]) for name in FIRST], col_spacing=4)
        with formatter.section("More commands (`quarry help` says what each does)"):
            formatter.write_dl([(subject, ", ".join(names)) for subject, names in MORE.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        """As click's, but from the table, since a shell waits for the answer."""
        if incomplete.startswith("-"):
            return click.Command.shell_complete(self, ctx, incomplete)
        from click.shell_completion import CompletionItem

        return [
            CompletionItem(name, help=line) for name, (_, _, line) in COMMANDS.items() if name.startswith(incomplete)
        ]

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        most = terminal.width()
        if most is not None:  # click's help would be at least 50 columns wide
            extra["terminal_width"] = min(most, _HELP_WIDTH)
        try:
            return super().make_context(info_name, args, parent, **extra)
        except click.exceptions.NoArgsIsHelpError:
            raise
        except click.UsageError as error:
            raise _one_line(error) from None
        except KeyboardInterrupt:
            raise Failure("Interrupted.", INTERRUPTED) from None

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; every error becomes a `Failure`: one sentence on standard error, and an exit code."""
        try:
            return super().invoke(ctx)
        except click.exceptions.NoArgsIsHelpError:
            raise
        except click.UsageError as error:
            raise _one_line(error, ctx.invoked_subcommand) from None
        except (Failure, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except click.ClickException as error:  # its own `show` would print control characters unescaped
            raise Failure(_sentence(error.format_message()), error.exit_code) from None
        except KeyboardInterrupt:
            raise Failure("Interrupted.", INTERRUPTED) from None
        except NodeError as error:
            raise Failure(_sentence(str(error)), _exit_code(error)) from None
        except OSError as error:
            named = f"{error.filename}: " if error.filename else ""
            raise Failure(f"{named}{error.strerror or type(error).__name__}.") from None
        except Exception as error:  # a bug in Quarry: one line, and the traceback in Python's development mode
            if sys.flags.dev_mode or ctx.invoked_subcommand in ("api", "rpc"):  # a server's standard error is its log
                terminal.show_traceback()
            raise Failure(
                f"A bug in Quarry ({_where(error)}). To see the traceback, run the command with PYTHONDEVMODE=1."
            ) from None


def _one_line(error: click.UsageError, command: str | None = None) -> Failure:
    """A usage error on one line; click itself prints three more around it."""
    return Failure(one_sentence(error, f"quarry {command}" if command else "quarry"), USAGE)


def _exit_code(error: NodeError) -> int:
    from services.errors import BadSettings
    from services.wallet.keyring import UnsafePermissions
    from shared.chain_spec import BadChainSpec

    return USAGE if isinstance(error, BadSettings | BadChainSpec | UnsafePermissions) else FAILED


def _sentence(message: str) -> str:
    return " ".join(message.split())


def _where(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    last = f" at {os.path.basename(frames[-1].filename)}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{last}"


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": _HELP_WIDTH},
)
@click.version_option(version=VERSION, prog_name="quarry")
def quarry() -> None:
    """A proof-of-work ledger that runs as a queue of jobs. Begin with `quarry up`.

    Commands talk to the node on this machine, or to that of --url or QUARRY_URL.
    """
