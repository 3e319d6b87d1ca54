"""Traces: what begins one, what goes on with one, and that nothing happens while they are off."""

import sys
import threading
from collections.abc import Iterator
from io import BytesIO
from types import SimpleNamespace
from typing import Any, cast

import pytest

from api.rest.lease_door import LeaseDoor
from api.serving.gate import RECEIVED
from api.serving.runner import PROTOCOL
from api.serving.traced import Traced
from services.errors import BadSettings
from services.mining.leases import Reported
from services.settings.table import load
from services.system import tracing
from services.system.tracing import MOST_FOLLOWED, Tracing

ELSEWHERE = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"


class Seen:
    """The spans that have ended."""

    def __init__(self) -> None:
        reason = "pip install '.[traces]' installs it; .ci/run does"
        sdk = pytest.importorskip("opentelemetry.sdk.trace", reason=reason)
        export = pytest.importorskip("opentelemetry.sdk.trace.export", reason=reason)
        memory = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter", reason=reason)
        self._exporter = memory.InMemorySpanExporter()
        self._provider = sdk.TracerProvider()
        self._provider.add_span_processor(export.SimpleSpanProcessor(self._exporter))

    def begin(self, share: float = 1.0) -> None:
        tracing.install(Tracing(self._provider, share))

    def names(self) -> list[str]:
        return [span.name for span in self._exporter.get_finished_spans()]

    def tree(self) -> dict[str, str | None]:
        """Name of each span -> name of its parent; "?": one of another process."""
        spans = self._exporter.get_finished_spans()
        by_id = {span.context.span_id: span.name for span in spans if span.context}
        return {span.name: by_id.get(span.parent.span_id, "?") if span.parent else None for span in spans}

    def traces(self) -> set[int]:
        return {span.context.trace_id for span in self._exporter.get_finished_spans() if span.context}


@pytest.fixture
def seen() -> Iterator[Seen]:
    found = Seen()
    found.begin()
    yield found
    tracing.install(None)


def test_while_it_is_off_nothing_is_made() -> None:
    assert not tracing.is_on() and tracing.current() == ""
    assert tracing.trace("a") is tracing.step("b") is tracing.trace("c", ELSEWHERE)
    with tracing.trace("a"):
        assert tracing.current() == ""
    work = str.upper
    assert tracing.carried(work) is work
    tracing.flush()


def test_spans_nest_and_only_some_begin_a_trace(seen: Seen) -> None:
    with tracing.step("alone"):
        pass
    with tracing.trace("request"), tracing.trace("admit"), tracing.step("append"):
        pass
    assert seen.tree() == {"append": "admit", "admit": "request", "request": None}


def test_others_go_on_with_a_trace(seen: Seen) -> None:
    with tracing.trace("here"):
        handed_on = tracing.current()
    with tracing.step("there", handed_on):
        pass
    assert seen.tree() == {"here": None, "there": "here"} and len(seen.traces()) == 1


@pytest.mark.parametrize(
    "parent",
    ["", "x", ELSEWHERE[:-1], ELSEWHERE + "0", ELSEWHERE[:-2] + "00", ELSEWHERE.upper(), "01" + ELSEWHERE[2:],
     "00-" + "0" * 32 + "-" + "b" * 16 + "-01", "é" * 55, ELSEWHERE + "\n"],
)  # fmt: skip
def test_what_is_no_recorded_traceparent_counts_as_none(seen: Seen, parent: str) -> None:
    with tracing.step("job", parent):
        assert tracing.current() == ""
    assert seen.names() == []


def test_strangers_cannot_have_everything_traced(seen: Seen) -> None:
    seen.begin(share=0.0)
    for _ in range(3 * MOST_FOLLOWED):
        with tracing.trace("request", ELSEWHERE):
            pass
    assert MOST_FOLLOWED <= len(seen.names()) <= 2 * MOST_FOLLOWED  # the second may change meanwhile


def test_a_share_of_nothing_traces_nothing_within_either(seen: Seen) -> None:
    seen.begin(share=0.0)
    with tracing.trace("request"), tracing.trace("admit"):
        seen.begin(share=1.0)
        with tracing.trace("append"):  # its request was passed over
            pass
    assert seen.names() == []
    with tracing.trace("next"):
        pass
    assert seen.names() == ["next"]


def test_a_trace_of_others_is_followed_also_within_what_was_passed_over(seen: Seen) -> None:
    seen.begin(share=0.0)
    with tracing.trace("request"):
        with tracing.step("job", ELSEWHERE):
            with tracing.step("claim"):
                assert tracing.current() != ""
        assert tracing.current() == ""
        with tracing.step("after"):
            pass
    assert seen.tree()["claim"] == "job" and sorted(seen.names()) == ["claim", "job"]


def test_threads_go_on_with_the_trace(seen: Seen) -> None:
    def work(item: int) -> None:
        with tracing.step(f"ask {item}"):
            barrier.wait(10)

    barrier = threading.Barrier(2)
    with tracing.trace("announce"):
        carried = tracing.carried(work)
        threads = [threading.Thread(target=carried, args=(number,)) for number in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
    assert seen.tree() == {"ask 0": "announce", "ask 1": "announce", "announce": None}


def test_requests_are_spans_without_their_parameters(seen: Seen) -> None:
    def inner(environ: Any, start_response: Any) -> list[bytes]:
        with tracing.step("admit"):
            return [b""]

    traced = Traced(inner)
    traced({"PATH_INFO": "/mine", "QUERY_STRING": "wait=secret", "REQUEST_METHOD": "POST"}, None)
    traced({"PATH_INFO": "/metrics", "REQUEST_METHOD": "GET"}, None)
    assert seen.tree() == {"admit": "HTTP POST", "HTTP POST": None}
    [span] = [span for span in seen._exporter.get_finished_spans() if span.name == "HTTP POST"]
    assert dict(span.attributes or {}) == {"path": "/mine"}


@pytest.mark.parametrize(("share", "parent", "viewed"), [(0.0, "", False), (1.0, "", True), (0.0, ELSEWHERE, True)])
def test_only_a_miners_request_that_is_traced_goes_through_flask(
    seen: Seen, share: float, parent: str, viewed: bool
) -> None:
    seen.begin(share)
    done = Reported(1, 0, 100, None, False)
    leases = SimpleNamespace(each=lambda asked: [done for _ in asked])
    node = SimpleNamespace(leases=leases, settings=SimpleNamespace(api_threads=1))
    served = SimpleNamespace(node=node, hosts={"h"}, doorkeeper=SimpleNamespace(origins=frozenset()))
    answers: list[int] = []
    protocol = SimpleNamespace(response_bytes=lambda status, *_: answers.append(status))
    by_flask = Traced(LeaseDoor(lambda *_: [b"by Flask"], cast(Any, served)))(
        {
            "PATH_INFO": "/leases/" + "0" * 32, "REQUEST_METHOD": "POST", "HTTP_HOST": "h",
            "CONTENT_TYPE": "application/json", "HTTP_AUTHORIZATION": "Bearer x", "HTTP_TRACEPARENT": parent,
            RECEIVED: True, PROTOCOL: protocol, "wsgi.input": BytesIO(b'{"shares": [1], "hashes": 100}'),
        },
        lambda *_: None,
    )  # fmt: skip
    assert (list(by_flask) == [b"by Flask"], answers) == (viewed, [] if viewed else [200])


def test_without_the_library_the_setting_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load({"QUARRY_TRACES_URL": "http://127.0.0.1:4318/v1/traces"})
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(BadSettings, match=r"pip install 'quarry-ledger\[traces\]'"):
        tracing.begin(settings, "api")
    assert not tracing.is_on()


@pytest.mark.parametrize(
    "url", ["x", "ftp://h", "http://", "http://a:b@h/", "http://h:99999", "http://h:x", "http://[", "h" * 300]
)
def test_a_collector_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(BadSettings, match="QUARRY_TRACES_URL: must be a URL without user"):
        load({"QUARRY_TRACES_URL": url})


@pytest.mark.parametrize("text", ["-1", "1.1", "2", "x", "nan", "1e-3", "0.0000000001", ".5"])
def test_a_share_is_from_0_to_1(text: str) -> None:
    with pytest.raises(BadSettings, match="QUARRY_TRACES_SHARE"):
        load({"QUARRY_TRACES_SHARE": text})
    assert load({"QUARRY_TRACES_SHARE": "1"}).traces_share == 1.0
