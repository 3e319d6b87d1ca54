"""The names of addresses on pages. They are read once for each page, and only if the page shows an address."""

from collections.abc import Mapping
from typing import cast

from flask import g

from api.access import current_node
from services.operators.names import Named


def name_of(address: object) -> Named | None:
    """The name of an address on the page that is being made; None if it has none."""
    if "names" not in g:
        g.names = current_node().names.all()
    return cast(Mapping[object, Named], g.names).get(address) if isinstance(address, str) else None
