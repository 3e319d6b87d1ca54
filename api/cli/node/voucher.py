"""`quarry voucher`: secrets for miners that need not be trusted."""

from typing import Any

import click

from api.cli import terminal
from api.cli.client import NodeClient, Refused
from api.cli.group import USAGE, Failure
from api.cli.moments import moment
from api.cli.options import Target, all_option, with_node
from api.cli.suggestions import Group
from api.cli.table import Column, rest, table, that_fit
from services.launch.addresses import at_port, door_port, knows_voucher

_SECONDS = 3.0  # for `quarry rpc` to answer
_NONE = "There is no voucher; `quarry voucher new NAME` makes one."
_COLUMNS = (Column("NAME", least=12), Column("MADE"), Column("JOIN"), Column("MINERS"))


@click.group(cls=Group)
def voucher() -> None:
    """Let others mine for this node, without trusting them.

    Who has a voucher may lease proofs and hand in shares, and nothing else. `quarry miner` mines with one.
    """


@voucher.command("new")
@click.argument("name")
@click.option("--join", is_flag=True, help="Make a short code too, for the page /join/CODE that mines in a browser.")
@with_node
def new(target: Target, name: str, join: bool) -> None:
    """Make a voucher and show its secret, which nobody can see again. Needs the node's admin token.

    Standard error has the command that mines with it. So with `umask 077`, `quarry voucher new class > class.voucher`
    writes a file for `quarry miner --voucher-file`, which no one else may read.
    """
    if not name.strip():
        raise Failure("A name has 1 to 40 visible characters.", USAGE)
    made = target.client.post("/vouchers", {"name": name, "join": True} if join else {"name": name})
    lines = [str(made["voucher"])]
    if join:
        lines.append(f"{target.client.url}/join/{made['join']}")
    url = _url_of_miners(target.client, lines[0])
    target.show({**made, "url": url}, *lines)
    if not target.as_json:
        terminal.say("Mine with it:", f"  quarry miner --url {url} \\", f"    --voucher {lines[0]}")


def _url_of_miners(client: NodeClient, secret: str) -> str:
    """Where miners with a voucher ask: the node's `quarry rpc`, if it is beside the API and answers, or the API."""
    try:
        port = door_port(client.url, client.get("/status").get("rpc_url"))
        if port is not None:
            door = NodeClient(at_port(client.url, port), secret)
            if knows_voucher(lambda path, body: _code(door, path, body)):
                return door.url
    except (Failure, AttributeError):
        pass
    return client.url


def _code(client: NodeClient, path: str, body: Any) -> str:
    """The `code` of the refusal of a request; "" if it is not refused."""
    try:
        client.post(path, body, timeout=_SECONDS)
    except Refused as error:
        return error.code
    return ""


@voucher.command("list")
@with_node
@all_option
def show(target: Target, everything: bool) -> None:
    """Show the vouchers. Needs the node's admin token."""
    found = target.client.get("/vouchers")["vouchers"]
    shown = found[: that_fit(len(found), everything or target.as_json)]
    lines = [*table(_COLUMNS, [_row(item) for item in shown]), *rest(len(shown), len(found))] if found else [_NONE]
    target.show({"vouchers": found}, *lines)


@voucher.command("revoke")
@click.argument("name")
@with_node
def revoke(target: Target, name: str) -> None:
    """Revoke a voucher: its leases end at once, and what its miners have done is forgotten. Needs the admin token."""
    if not name.strip():
        raise Failure("A name has 1 to 40 visible characters.", USAGE)
    revoked = target.client.delete("/vouchers", {"name": name})
    target.show(revoked, f"The voucher {revoked['name']} is revoked.")


def _row(item: dict[str, Any]) -> list[str]:
    return [str(item["name"]), moment(item["created_at"]), "yes" if item["join"] else "no", str(item["miners"])]
