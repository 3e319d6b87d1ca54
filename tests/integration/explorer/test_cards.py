"""Tables carry the name of each column at each cell, so that a phone can show their rows as cards."""

import pytest
from markupsafe import Markup

from api.app import create_app
from api.explorer.cards import cards
from services.node import Node
from tests.integration.explorer.pages import Tables, page
from tests.support.http import Client, FlaskDoor
from tests.support.keys import ALICE, CAROL
from tests.support.nodes import grow, mine, transfer


def test_each_cell_names_its_column_on_every_page(node: Node) -> None:
    client = Client(FlaskDoor(create_app(node)))
    grow(node, transfer(ALICE, 0, type="approve", recipient=CAROL.address, data="<td>a memo</td>"))
    mine(node)
    client.submit(transfer(ALICE, 1))
    node.peers.add("http://127.0.0.1:9")
    seen = 0
    for path in ("/", "/?before=1", "/block/2", f"/address/{ALICE.address}", "/pool", "/network", "/mining"):
        found = Tables(page(client, path))
        for (names, rows), kind in zip(found.tables, found.kinds, strict=True):
            if kind != "cards":
                assert kind == "workers", path  # which is narrow enough
                continue
            seen += 1
            for row in rows[1:]:
                labels = [label for label, _ in row]
                assert labels == (names if path != "/?before=1" else [""]), path
    assert seen == 8


@pytest.mark.parametrize("text", ["a < b", "<td>", '"', "<table><tr><td>"])
def test_text_in_a_cell_is_no_part_of_the_table(text: str) -> None:
    table = Markup("<table><thead><tr><th>{0}</th></tr></thead><tbody><tr><td>{0}</td></tr></tbody></table>").format(
        text
    )
    made = cards(table)
    assert made.count("<td") == 1 and f'data-label="{Markup.escape(text)}"' in made


def test_an_empty_table_says_so_in_a_cell_without_a_column() -> None:
    table = (
        '<table><thead><tr><th>A</th><th>B</th></tr></thead><tbody><tr><td colspan="2">None.</td></tr></tbody></table>'
    )
    assert '<td role="cell" colspan="2">None.</td>' in cards(table)
