"""Asking an application whether it credits a payment: what may be agreed, and applications that are slow or hostile."""

from __future__ import annotations

import pytest

from lab.attack import application as module
from lab.attack.application import Application, Payment
from lab.interface import LabError
from tests.support.raw_server import Connection, RawServer, response

PAYMENT = Payment("ab" * 32, "0xBEEF", "0.5")


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWER_SECONDS", 1.0)


def state(answer: bytes, credited: str = "credited=true", status: str = "200 OK") -> str:
    """What an application that answers so says."""
    data = response(answer).replace(b"200 OK", status.encode(), 1)
    with RawServer(lambda peer: peer.send(data)) as server:
        return Application(f"http://127.0.0.1:{server.port}/x/{{id}}", credited).ask(PAYMENT)


@pytest.mark.parametrize(
    ("answer", "credited", "expected"),
    [
        (b'{"credited": true}', "credited=true", "credited"),
        (b'{"credited": false}', "credited=true", "not credited"),
        (b'{"credited": null}', "credited=true", "not credited"),
        (b'{"credited": 1}', "credited=true", "not credited"),
        (b'{"credited": "true"}', "credited=true", "not credited"),
        (b'{"order": {"state": "paid"}}', "order.state=paid", "credited"),
        (b'{"order": {"state": "waiting"}}', "order.state=paid", "not credited"),
        (b'{"level": 3}', "level=3", "credited"),
        (b'{"level": 3}', "credited=true", "nonsense"),
        (b'{"order": "paid"}', "order.state=paid", "nonsense"),
        (b"[]", "credited=true", "nonsense"),
        (b"true", "credited=true", "nonsense"),
        (b"credited", "credited=true", "nonsense"),
        (b"", "credited=true", "nonsense"),
        (b"\xff\xfe", "credited=true", "nonsense"),
        (b"[" * 100_000, "credited=true", "nonsense"),
        (b'"' + b"x" * 70_000 + b'"', "credited=true", "nonsense"),
    ],
)
def test_an_answer_says_whether_the_payment_is_credited(answer: bytes, credited: str, expected: str) -> None:
    assert state(answer, credited) == expected


def test_other_statuses_are_no_answers_but_404() -> None:
    assert state(b"{}", status="404 Not Found") == "not credited"
    for status in ("500 Oops", "302 Found", "401 Unauthorized"):
        assert state(b'{"credited": true}', status=status) == "nonsense"


def test_the_payment_stands_in_the_url() -> None:
    seen: list[bytes] = []

    def script(peer: Connection) -> None:
        seen.append(peer.request.split(b"\r\n")[0])
        peer.send(response(b'{"credited": true}'))

    with RawServer(script) as server:
        base = f"http://localhost:{server.port}"
        Application(base + "/p/{id}?to={address}&n={amount}").ask(PAYMENT)
        Application(base).ask(PAYMENT)
        Application(base + "?tx={id}").ask(Payment("a/b c", "", ""))
    assert seen == [
        f"GET /p/{PAYMENT.id}?to=0xBEEF&n=0.5 HTTP/1.1".encode(), b"GET / HTTP/1.1", b"GET /?tx=a%2Fb%20c HTTP/1.1"
    ]  # fmt: skip


def test_an_application_that_hangs_or_breaks_gives_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWER_SECONDS", 0.3)

    def drips(peer: Connection) -> None:
        peer.drip(response(b'{"credited": true}'), 0.1)

    def breaks(peer: Connection) -> None:
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{")

    for script in (breaks, Connection.hang, drips):
        with RawServer(script) as server:
            assert Application(f"http://127.0.0.1:{server.port}").ask(PAYMENT) == "no answer"
        port = server.port
    assert Application(f"http://127.0.0.1:{port}").ask(PAYMENT) == "no answer"


@pytest.mark.parametrize(
    "url",
    [
        "http://192.168.0.1/", "http://example.org/{id}", "http://0.0.0.0:80", "http://[2001:db8::1]/", "http://127.0.0.1.example.org/",
        "http://128.0.0.1",
    ],
)  # fmt: skip
def test_only_this_machine_is_attacked(url: str) -> None:
    with pytest.raises(LabError, match=r"Only applications on this machine \(127.0.0.0/8\) are attacked; "):
        Application(url)


@pytest.mark.parametrize(
    "url",
    [
        "", "127.0.0.1:80", "https://127.0.0.1/", "ftp://127.0.0.1/", "http://", "http:///x", "http://127.0.0.1:x/",
        "http://127.0.0.1:99999/", "http://user:secret@127.0.0.1/", "http://127.0.0.1/#x", "http://127.0.0.1/a b",
        "http://127.0.0.1/\r\nX: y", "http://127.1/", "http://0x7f000001/", "http://127.0.0.1/" + "x" * 3000,
        "http://[127.0.0.1]/", "http://127.0.0.1/ä", "http://[::1",
    ],
)  # fmt: skip
def test_what_is_no_such_address_is_refused(url: str) -> None:
    with pytest.raises(LabError, match="is no address such as"):
        Application(url)


@pytest.mark.parametrize("credited", ["", "credited", "=true", "a..b=1", ".a=1"])
def test_a_condition_is_a_field_and_a_value(credited: str) -> None:
    with pytest.raises(LabError, match="no field with a value"):
        Application("http://127.0.0.1/", credited)
    Application("http://[::1]:8000/x", "a=")
    Application("http://127.0.0.1/", "a=" + "[" * 100_000)  # a text, since it is no JSON
