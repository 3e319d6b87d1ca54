"""What the tests of the explorer share: a page as a browser gets it, and what is in its tables."""

from html.parser import HTMLParser

from tests.support.http import Answer, Client

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
HTML = "text/html; charset=utf-8"


class Page(HTMLParser):
    """What is in a page: its elements with their attributes, and its text."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        assert answer.type == HTML, answer.body[:300]
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.source = answer.body.decode()
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.text += data

    def links(self) -> set[str]:
        """Where the page leads, and what it loads."""
        found = {attrs[name] for _, attrs in self.elements for name in ("href", "src") if name in attrs}
        return {link.partition("#")[0] for link in found} - {""}


def page(client: Client, path: str, status: int = 200) -> Page:
    answer = client.get(path, **BROWSER)
    assert answer.status == status, (path, answer.body[:500])
    return Page(answer)


class Tables(HTMLParser):
    """The tables of a page: for each, its column names and its rows of (label, text)."""

    def __init__(self, found: Page) -> None:
        super().__init__()
        self.tables: list[tuple[list[str], list[list[tuple[str, str]]]]] = []
        self.kinds: list[str] = []  # the class of each table
        self._cell: list[str] | None = None
        self.feed(found.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if tag == "table":
            self.tables.append(([], []))
            self.kinds.append(attributes.get("class", ""))
        elif tag == "tr":
            self.tables[-1][1].append([])
        elif tag in ("th", "td"):
            self._cell = []
            if tag == "td":
                self.tables[-1][1][-1].append((attributes.get("data-label", ""), ""))

    def handle_endtag(self, tag: str) -> None:
        if tag in ("th", "td") and self._cell is not None:
            text = " ".join("".join(self._cell).split())
            names, rows = self.tables[-1]
            if tag == "th":
                names.append(text)
            else:
                rows[-1][-1] = (rows[-1][-1][0], text)
            self._cell = None

    def handle_data(self, data: str) -> None:
        if self._cell is not None:
            self._cell.append(data)
