"""`quarry limit`: how many hashes per second the node's workers may do."""

import click

from api.cli.group import USAGE, Failure
from api.cli.options import Target, with_node
from services.system.quantities import rate_text
from shared.errors import InputError
from shared.hash_rate import parse_hash_rate

_OFF = "The node's hash rate has no limit."


@click.command()
@click.argument("rate", metavar="[RATE|off]", required=False)
@with_node
def limit(target: Target, rate: str | None) -> None:
    """Limit how many hashes per second all workers of the node do together, such as 800k, 1.5MH/s or 2000000.

    Every worker heeds the limit at once, and the node keeps it when it starts again. `off` lifts it. Without a RATE,
    show the limit. To change it needs the node's admin token.
    """
    if rate is None:
        found = target.client.get("/mining/limit")
    elif rate.lower() == "off":
        found = target.client.delete("/mining/limit")
    else:
        try:
            wanted = parse_hash_rate(rate, field="RATE")
        except InputError as error:
            raise Failure(f"{error.message} `off` lifts the limit.", USAGE) from None
        found = target.client.post("/mining/limit", {"hash_rate_limit": wanted})
    limit = found["hash_rate_limit"]
    target.show(found, _OFF if limit is None else f"All workers of the node together do {rate_text(limit)} at most.")
