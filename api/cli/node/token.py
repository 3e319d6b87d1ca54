"""`quarry token`: admin tokens of one's own for each operator and program, and the audit log."""

from typing import Any

import click

from api.cli.group import USAGE, Failure
from api.cli.moments import moment
from api.cli.options import Target, all_option, with_node
from api.cli.suggestions import Group
from api.cli.table import Column, rest, table, that_fit

_NONE = "There is no token beside the admin token; `quarry token new NAME --scope peers` makes one."
_COLUMNS = (Column("NAME", least=12), Column("SCOPES"), Column("MADE"))
_ACTS = (Column("WHEN"), Column("WHO", least=8), Column("WHAT", least=16), Column("FROM", extra=True), Column("STATUS"))


@click.group(cls=Group)
def token() -> None:
    """Give others a part of the admin's rights, each with a token of its own.

    A token is shown once. Who has it may do what its scopes say, until it is revoked. All of this needs the node's
    admin token.
    """


@token.command("new")
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    type=click.Choice(["peers", "mine", "jobs"]),
    help="What it is for; repeatable.",
)
@with_node
def new(target: Target, name: str, scopes: tuple[str, ...]) -> None:
    """Make a token and show its secret, which nobody can see again.

    peers: register and remove peers. mine: mine from another machine, and limit the hash rate. jobs: cancel jobs and
    rounds, and read the dashboard.
    """
    made = target.client.post("/tokens", {"name": _name(name), "scopes": list(scopes)})
    target.show(made, str(made["token"]))


@token.command("list")
@with_node
@all_option
def show(target: Target, everything: bool) -> None:
    """Show the tokens, without their secrets."""
    found = target.client.get("/tokens")["tokens"]
    shown = found[: that_fit(len(found), everything or target.as_json)]
    rows = [[item["name"], " ".join(item["scopes"]), moment(item["created_at"])] for item in shown]
    target.show({"tokens": found}, *([*table(_COLUMNS, rows), *rest(len(shown), len(found))] if found else [_NONE]))


@token.command("revoke")
@click.argument("name")
@with_node
def revoke(target: Target, name: str) -> None:
    """Revoke a token: from the next request on it is refused."""
    revoked = target.client.delete("/tokens", {"name": _name(name)})
    target.show(revoked, f"The token {revoked['name']} is revoked.")


@token.command("log")
@click.option("--limit", type=click.IntRange(1, 1000), default=None, help="How many entries. [default: a screen]")
@with_node
def log(target: Target, limit: int | None) -> None:
    """Show what was done with admin tokens, and what was refused; the newest first."""
    count = limit or that_fit(1000, target.as_json)
    found = target.client.get("/audit", limit=count)["acts"]
    lines = table(_ACTS, [_row(item) for item in found]) if found else ["Nothing was done with an admin token yet."]
    target.show({"acts": found}, *lines)


def _name(text: str) -> str:
    if not text.strip():
        raise Failure("A name has 1 to 40 visible characters.", USAGE)
    return text


def _row(item: dict[str, Any]) -> list[str]:
    return [moment(item["at"]), str(item["who"]) or "?", str(item["what"]), str(item["where"]), str(item["status"])]
