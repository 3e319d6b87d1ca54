"""`quarry api`, `quarry rpc`, `quarry worker`, `quarry ticker`: run one process of a node.
`quarry miner`: mine for one.

API and door run in this process: the imports of `api.server` and `api.door.server` are the only ones from the command
line to a server. Worker, ticker and miner replace this process.
"""

import os
import platform
from pathlib import Path

import click

from api.cli.group import USAGE, Failure
from api.cli.options import DEFAULT_URL, given_secret, require, url_option
from services.system.loading import keep, uncollected
from services.system.programs import do_without_rich, module_command, module_path
from shared.addresses import parse_address
from shared.errors import InputError


@click.command()
def api() -> None:
    """Run the HTTP server until SIGTERM or Ctrl-C. Settings come from the environment (QUARRY_…)."""
    do_without_rich()
    with uncollected():
        from api.server import serve
        from services.settings.table import load
    keep()
    serve(load(os.environ))


@click.command()
def rpc() -> None:
    """Run JSON-RPC over HTTP and WebSocket until SIGTERM or Ctrl-C. Settings come from the environment (QUARRY_…)."""
    do_without_rich()
    with uncollected():
        from api.door.server import serve
        from services.settings.table import load
    keep()
    serve(load(os.environ))


@click.command()
@click.option("--queue", required=True, type=click.Choice(["mining", "network"]), help="The queue to take jobs from.")
@click.option(
    "--hash-rate",
    metavar="RATE",
    help="The most hashes per second of this worker, such as 800k or 1.5MH/s. [default: QUARRY_HASH_RATE, or no limit]",
)
def worker(queue: str, hash_rate: str | None) -> None:
    """Run one worker on one queue until SIGTERM or Ctrl-C. Settings come from the environment (QUARRY_…)."""
    variables = {}
    if hash_rate is not None:
        require(queue == "mining", "--hash-rate is for a worker of the queue mining.")
        from services.settings import values

        values.named("--hash-rate", lambda text: values.hash_rate(values.clean(text)), hash_rate)
        variables["QUARRY_HASH_RATE"] = hash_rate
    _become("worker", "--queue", queue, **variables)


@click.command()
def ticker() -> None:
    """Run the ticker, which enqueues scheduled jobs and does the housekeeping.

    Settings come from the environment (QUARRY_…).
    """
    _become("ticker")


@click.command()
@url_option
@click.option(
    "--voucher-file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="A file with the voucher, which only you read.",
)
@click.option("--voucher", help="The voucher itself: other users of this machine see it. [default: QUARRY_VOUCHER]")
@click.option("--address", help="Where payouts go. [default: nowhere]")
@click.option("--name", help="What the node calls this miner. [default: the machine's name]")
@click.option("--workers", type=click.IntRange(1, 1024), default=1, show_default=True, help="Processes; one core each.")
@click.option("--kernel", type=click.Choice(["auto", "plain", "fast"]), default="auto", show_default=True)
def miner(
    url: str | None,
    voucher_file: Path | None,
    voucher: str | None,
    address: str | None,
    name: str | None,
    workers: int,
    kernel: str,
) -> None:
    """Mine for a node over HTTP, until SIGTERM or Ctrl-C. It needs no Redis and no trust: a voucher is enough.

    The voucher, which `quarry voucher new` has made, or its short code, is QUARRY_VOUCHER or in a file.
    """
    name = name or platform.node()[:40] or "miner"
    secret = _voucher(voucher_file, voucher)
    require(1 <= len(name) <= 40 and name.isprintable() and name == name.strip(), _NO_NAME)
    options = ["--url", url or DEFAULT_URL, "--name", name, "--kernel", kernel]
    if address is not None:
        try:
            options += ["--address", parse_address(address, field="--address")]
        except InputError as error:
            raise Failure(error.message, USAGE) from None
    _become("miner", *options, "--workers", str(workers), QUARRY_VOUCHER=secret)


def _voucher(file: Path | None, word: str | None) -> str:
    """The voucher: in the file, or the word, or QUARRY_VOUCHER.

    Raises:
        Failure: it is none, or there is none, or two were given. The message does not repeat it.
    """
    require(file is None or word is None, "--voucher and --voucher-file: give one of them.")
    if file is not None:
        return given_secret("--voucher-file", file, _VOUCHER_FILE, least=1)
    name, text = (
        ("QUARRY_VOUCHER", os.environ.get("QUARRY_VOUCHER", "").strip()) if word is None else ("--voucher", word)
    )
    require(text != "" or word is not None, _NO_VOUCHER)
    require(text != "" and text.isascii() and text.isprintable() and " " not in text, f"{name}: {_NOT_ONE_WORD}")
    return text


_NO_VOUCHER = "A miner needs a voucher: set QUARRY_VOUCHER, or name a file with it by --voucher-file."
_VOUCHER_FILE = "`quarry voucher new NAME > FILE` writes a voucher to a file."
_NOT_ONE_WORD = "must be one word, as `quarry voucher new` has printed it."
_NO_NAME = "--name: must have 1 to 40 visible characters."


def _become(*arguments: str, **variables: str) -> None:
    """Replace this process by `python -m worker`. It keeps its process id, so a supervisor's signals still reach it."""
    command = module_command("worker", *arguments)
    try:
        os.execve(command[0], command, {**os.environ, **module_path(os.environ), **variables})
    except OSError as error:
        raise Failure(f"{command[0]} cannot be started: {error.strerror}.", USAGE) from None
