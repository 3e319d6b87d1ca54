"""Recordings: what is written is read again; what was cut or altered is refused."""

import errno
import hashlib
import io
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from lab.recording import FIELDS, BadRecording, Recorder, read_recording, verdicts
from tests.support.recordings import text_of_recording

LINES = text_of_recording(blocks=6).splitlines(keepends=True)


def test_a_recording_is_read_as_it_was_written() -> None:
    events = read_recording(LINES)
    assert [json.loads(line)["event"] for line in LINES] == [event.kind for event in events]
    assert events[0].fields["nodes"] == 4
    assert [each["held"] for each in verdicts(events)] == [True]


def test_a_change_to_another_long_branch_is_read_again() -> None:
    out = io.StringIO()
    recorder = Recorder(out)
    recorder.note(0.0, "begin", **{name: EVENTS["begin"][name] for name in FIELDS["begin"]})
    hashes = [f"{number:064x}" for number in range(60_000)]
    recorder.note(1.0, "tip", node=1, hash=hashes[-1], detached=hashes, attached=hashes)
    recorder.end()
    assert read_recording(out.getvalue().splitlines(keepends=True))[1].fields["attached"] == hashes


def test_every_altered_byte_is_recognised() -> None:
    text = "".join(LINES)
    last_line = range(len(text) - len(LINES[-1]), len(text) - 1)
    for place in (*range(0, len(text), 97), *last_line):
        for other in "0}":
            if text[place] in (other, "\n"):
                continue
            altered = text[:place] + other + text[place + 1 :]
            with pytest.raises(BadRecording):
                read_recording(altered.splitlines(keepends=True))


def test_every_cut_is_recognised() -> None:
    for count in range(1, len(LINES)):
        with pytest.raises(BadRecording, match=r"was cut|one `begin`"):
            read_recording(LINES[:count])
    with pytest.raises(BadRecording):
        read_recording([*LINES[:-1], LINES[-1][:-20]])
    for gone in range(1, len(LINES) - 1):
        with pytest.raises(BadRecording, match="altered"):
            read_recording(LINES[:gone] + LINES[gone + 1 :])


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], "is empty"),
        (["garbage\n"], "Line 1 is not a JSON object"),
        (["[1]\n"], "Line 1 is not a JSON object"),
        (["[" * 100_000 + "\n"], "Line 1 is not a JSON object"),
        (['{"t": 0, "event": "begin"}\n'], "Line 1 is not an event"),
        (['{"t": 0, "event": ["begin"]}\n'], "Line 1 is not an event"),
        ([LINES[0], LINES[0]], "one `begin`"),
        ([LINES[1]], "one `begin`"),
        ([LINES[0].replace('"recording":1', '"recording":2')], "version 2"),
        ([LINES[0].replace('"t":0.0', '"t":NaN')], "not a JSON object"),
        ([LINES[0].replace('"t":0.0', '"t":-1')], "not a number of seconds"),
        ([LINES[0].replace('"t":0.0', '"t":true')], "not a number of seconds"),
        ([*LINES, LINES[-1]], "goes on after its end"),
        (["x" * 20_000_001], "more than 20,000,000"),
    ],
)
def test_what_is_no_recording_is_refused_in_one_sentence(lines: list[str], said: str) -> None:
    with pytest.raises(BadRecording, match=said) as caught:
        read_recording(lines)
    assert str(caught.value).count("\n") == 0


EVENTS: dict[str, dict[str, Any]] = {
    "begin": json.loads(LINES[0]),
    "block": {"hash": "a", "parent": "b", "height": 2, "chainwork": "7", "finder": None, "timestamp": 1.5,
              "transactions": ["c"]},
    "heard": {"node": 1, "hash": "a"},
    "withheld": {"node": 1, "hash": "a"},
    "published": {"node": 1, "hash": "a"},
    "tip": {"node": 1, "hash": "a", "detached": [], "attached": ["a"]},
    "invalid": {"node": 1, "hash": "a", "rule": "lie"},
    "payment": {"node": 1, "id": "c", "to": "0xa", "amount": "0.5"},
    "node": {"node": 1, "state": "running"},
    "limit": {"node": 1, "hash_rate": None},
    "strategy": {"node": 1, "name": None},
    "link": {"from": 1, "to": 2, "latency": 0.5, "jitter": 0, "rate": 7.5, "cut": True},
    "groups": {"groups": [[1], [2]]},
    "said": {"text": "x"},
    "verdict": {"claim": "x", "held": True, "value": 1, "low": None, "high": 0.5, "expected": None},
}  # fmt: skip


def signed(*events: tuple[str, dict[str, Any]]) -> list[str]:
    """The lines of a recording with a right end, whoever writes it."""
    lines = [json.dumps({"t": 0, "event": kind, **fields}) + "\n" for kind, fields in events]
    digest = hashlib.sha256("".join(lines).encode()).hexdigest()
    return [*lines, json.dumps({"t": 0, "event": "end", "sha256": digest}) + "\n"]


@pytest.mark.parametrize("kind", sorted(EVENTS))
def test_a_value_of_another_kind_is_refused_also_if_the_recording_was_signed_anew(kind: str) -> None:
    begin = ("begin", EVENTS["begin"])
    assert EVENTS.keys() == FIELDS.keys() - {"end"}

    def read(fields: dict[str, Any]) -> None:
        read_recording(signed(*([(kind, fields)] if kind == "begin" else [begin, (kind, fields)])))

    read(EVENTS[kind])
    for name in FIELDS[kind] - {"recording"}:
        for wrong in ({"x": 1}, [[["x"]]], 1e301, -(10**400)):
            if isinstance(EVENTS[kind][name], dict) and isinstance(wrong, dict):
                continue
            with pytest.raises(BadRecording, match=f"`{name}` of a {kind} cannot be|not a JSON object"):
                read({**EVENTS[kind], name: wrong})


def test_time_does_not_run_backwards() -> None:
    out = io.StringIO()
    recorder = Recorder(out)
    recorder.note(1.0, "begin", recording=1, scenario="x", world="real", seed=1, nodes=1, spec={}, parameters={})
    assert recorder.note(0.5, "said", text="late").t == 1.0
    line = json.dumps({"t": 0.1, "event": "said", "text": "x"}) + "\n"
    with pytest.raises(BadRecording, match="backwards"):
        read_recording([*out.getvalue().splitlines(keepends=True)[:1], line])


def test_a_recorder_refuses_events_that_the_schema_does_not_have() -> None:
    recorder = Recorder()
    with pytest.raises(ValueError, match="no event said"):
        recorder.note(0.0, "said", words="x")
    with pytest.raises(ValueError, match="no event sung"):
        recorder.note(0.0, "sung", text="x")
    recorder.end()
    with pytest.raises(ValueError, match="here"):
        recorder.note(0.0, "said", text="after the end")


class FullDisk(io.StringIO):
    """Has room for one line."""

    def write(self, text: str) -> int:
        if self.tell():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(text)


def test_a_recording_that_cannot_be_written_ends_and_does_not_go_on_with_a_gap() -> None:
    """The thread that met the error may have passed over it; whoever runs the lab asks."""
    out = FullDisk()
    recorder = Recorder(out)
    recorder.note(0.0, "said", text="x")
    recorder.require_written()
    for what in (lambda: recorder.note(1.0, "said", text="y"), recorder.require_written, recorder.end):
        with pytest.raises(OSError, match="No space left"):
            what()
    out.write = io.StringIO().write  # type: ignore[method-assign] # there is room again
    with pytest.raises(OSError, match="No space left"):
        recorder.note(2.0, "said", text="z")


def test_a_recorder_tells_each_event_once() -> None:
    told: list[str] = []
    recorder = Recorder(None, lambda event: told.append(event.kind))
    recorder.note(0.0, "said", text="x")
    recorder.end()
    assert told == ["said", "end"]


def test_the_page_about_the_lab_lists_every_event_and_its_fields() -> None:
    page = (Path(__file__).parents[3] / "docs" / "lab.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", page, re.MULTILINE)
    assert {kind: set(re.findall(r"`(\w+)`", fields)) for kind, fields in rows} == FIELDS
