"""A recording as text."""

from lab.recording import FIELDS, Event
from lab.timeline import lines_of
from tests.support.recordings import recorded


def test_a_recording_reads_as_a_story() -> None:
    text = "\n".join(lines_of(recorded(blocks=12)))
    assert "partition, simulated, seed 1, 4 nodes" in text
    assert "partition: 1 2 | 3 4" in text and "all nodes reach each other" in text
    assert "found block 2" in text and "reorganised to" in text
    assert "held: all nodes have one tip after healing" in text
    assert "heard" not in text


def test_every_kind_of_event_that_a_person_wants_to_see_has_words() -> None:
    fields = {
        "withheld": {"node": 1, "hash": "a" * 64},
        "published": {"node": 1, "hash": "a" * 64},
        "invalid": {"node": 2, "hash": "b" * 64, "rule": "bad_proof"},
        "payment": {"node": 1, "id": "c" * 64, "to": "0xabc", "amount": "1.5"},
        "node": {"node": 1, "state": "killed"},
        "limit": {"node": 1, "hash_rate": 2_000_000},
        "strategy": {"node": 3, "name": None},
        "link": {"from": 1, "to": 2, "latency": 0.4, "jitter": 0.1, "rate": 1000.0, "cut": False},
        "said": {"text": "Watch."},
    }
    lines = list(lines_of([Event(1.5, kind, each) for kind, each in fields.items()]))
    assert lines == [
        "     1.500  node 1 withholds aaaaaaaa",
        "     1.500  node 1 publishes aaaaaaaa",
        "     1.500  node 2 refused bbbbbbbb: bad_proof",
        "     1.500  node 1 pays 1.5 to 0xabc",
        "     1.500  node 1 is killed",
        "     1.500  node 1 has at most 2 MH/s",
        "     1.500  node 3 mines by the strategy honest",
        "     1.500  link 1 to 2: latency 0.4 s, jitter 0.1 s, 1000 bytes/s",
        "     1.500  Watch.",
    ]
    assert all(set(each) == FIELDS[kind] for kind, each in fields.items())
