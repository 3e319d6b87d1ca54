"""An exported recording is one file that loads nothing and runs nothing of its contents."""

import json
import re

from lab.page.exporting import HERE, exported
from lab.recording import Event
from tests.support.recordings import recorded


def test_the_file_holds_the_whole_recording() -> None:
    events = recorded(blocks=5)
    text = exported(events)
    held = re.search(r'<script type="application/json" id="recording">(.*?)</script>', text, re.DOTALL)
    assert held is not None
    assert json.loads(held[1]) == [event.to_object() for event in events]


def test_the_file_loads_nothing() -> None:
    text = exported(recorded(blocks=2))
    assert "default-src 'none'" in text
    assert not re.search(r'(src|href)="(?!data:,|#main")', text)
    assert "import " not in re.sub(r"//.*", "", text.split('<script type="module">')[1])


def test_texts_of_a_recording_cannot_leave_their_place() -> None:
    begin, *rest = recorded(blocks=1)
    evil = "</script><script>alert(1)</script><!--"
    fields = {**begin.fields, "scenario": evil, "world": evil}
    text = exported([Event(0.0, "begin", fields), Event(0.0, "said", {"text": evil}), *rest])
    assert "<script>alert" not in text and "<!--" not in text.split("</head>")[1]


def test_names_in_the_bundled_scripts_are_unique() -> None:
    names: list[str] = []
    for name in ("history.js", "drawing.js", "player.js", "recorded.js"):
        code = (HERE / "static" / name).read_text("utf-8")
        names += re.findall(r"^(?:export )?(?:class|function|const|let) (\w+)", code, re.MULTILINE)
    assert len(names) == len(set(names))
