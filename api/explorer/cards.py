"""Tables that become cards on a phone: each cell gets the name of its column, which the style sheet shows there."""

import re
from collections.abc import Iterator
from itertools import count

from markupsafe import Markup, escape

# What a table consists of. The text of a cell is escaped, so it contains no tag.
_HEADING = re.compile(r"<th\b[^>]*>(.*?)</th>", re.DOTALL)
_PART = re.compile(r"<(table|thead|tbody|tr|th|td)\b")
_ROLES = {"table": "table", "thead": "rowgroup", "tbody": "rowgroup", "tr": "row", "th": "columnheader", "td": "cell"}


def cards(table: str) -> Markup:
    """One table with headings in its `thead`; as a filter around it in a template.

    The roles are those that the elements have anyway. They must be written out, since browsers forget them when a style
    sheet displays the elements as blocks.
    """
    headings = [Markup(text).striptags() for text in _HEADING.findall(table)]
    columns: Iterator[int] = count()

    def complete(found: re.Match[str]) -> str:
        nonlocal columns
        name = found[1]
        if name == "tr":
            columns = count()
        label = ""
        if name == "td" and not table.startswith(" colspan", found.end()):  # one that spans all says it in a sentence
            label = f' data-label="{escape(headings[next(columns)])}"'
        # A table with a class names this one in it.
        extra = ' class="cards"' if name == "table" and not table.startswith(" class", found.end()) else ""
        return f'<{name} role="{_ROLES[name]}"{extra}{label}'

    return Markup(_PART.sub(complete, table))
