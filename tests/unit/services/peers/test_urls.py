"""Which URLs may be a peer, and where a node connects to: every odd spelling that would mean another machine."""

import ipaddress

import pytest

from services.peers.urls import MAX_URL, check_address, is_local_name, may_connect, normal_url
from shared.errors import InputError


@pytest.mark.parametrize(
    ("given", "normal"),
    [
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("127.0.0.1:5000", "http://127.0.0.1:5000"),  # as the tutorial's readers write it
        ("localhost:5000/", "http://localhost:5000"),
        ("HTTP://Node-1.Example.COM", "http://node-1.example.com"),
        ("http://example.com:80/", "http://example.com"),
        ("https://example.com:443", "https://example.com"),
        ("https://example.com:80", "https://example.com:80"),
        ("http://node_1:5000", "http://node_1:5000"),  # compose names services so
        ("http://xn--bcher-kva.example", "http://xn--bcher-kva.example"),
        ("http://[::1]:5000", "http://[::1]:5000"),
        ("http://[0:0:0:0:0:0:0:1]", "http://[::1]"),
        ("http://[2001:DB8::0001]:1", "http://[2001:db8::1]:1"),
        ("http://h:65535", "http://h:65535"),
    ],
)
def test_one_peer_has_one_url(given: str, normal: str) -> None:
    assert normal_url(given) == normal
    assert normal_url(normal) == normal


REFUSED = {
    "short address": "http://127.1",
    "three parts": "http://10.0.1",
    "one number": "http://2130706433",
    "one number, no scheme": "2130706433:5000",
    "hexadecimal": "http://0x7f000001",
    "hexadecimal in capitals": "http://0X7F.0.0.1",
    "empty hexadecimal": "http://0x",
    "octal": "http://0177.0.0.1",
    "leading zeros": "http://127.000.000.001",
    "too large a part": "http://256.0.0.1",
    "five parts": "http://1.2.3.4.5",
    "numeric last label": "http://example.1",
    "trailing dot": "http://127.0.0.1.",
    "name with a trailing dot": "http://example.com.",
    "user": "http://user@127.0.0.1",
    "user and password": "http://user:pass@127.0.0.1:5000",
    "empty user": "http://@127.0.0.1",
    "host after user": "http://example.com@169.254.169.254",
    "host behind backslash": "http://example.com\\@169.254.169.254",
    "backslash": "http:\\\\127.0.0.1",
    "path": "http://127.0.0.1/chain",
    "two slashes": "http://127.0.0.1//",
    "query": "http://127.0.0.1?a=b",
    "empty query": "http://127.0.0.1?",
    "fragment": "http://127.0.0.1#a",
    "file": "file:///etc/passwd",
    "file without slashes": "file:",
    "file with a path": "file:/etc/passwd",
    "ftp": "ftp://127.0.0.1",
    "gopher": "gopher://127.0.0.1:6379/_FLUSHALL",
    "unix": "unix:///var/run/redis.sock",
    "javascript": "javascript:alert(1)",
    "no host": "http://",
    "three slashes": "http:///127.0.0.1",
    "one slash": "http:/127.0.0.1",
    "scheme only": "http:",
    "relative": "//127.0.0.1",
    "port 0": "http://127.0.0.1:0",
    "port too large": "http://127.0.0.1:65536",
    "port much too large": "http://127.0.0.1:" + "9" * 100,
    "negative port": "http://127.0.0.1:-1",
    "port with sign": "http://127.0.0.1:+80",
    "port with zeros": "http://127.0.0.1:0080",
    "port with letters": "http://127.0.0.1:http",
    "empty port": "http://127.0.0.1:",
    "two ports": "http://127.0.0.1:80:80",
    "space": "http://127.0.0.1 ",
    "space inside": "http://127.0. 0.1",
    "tab, which some parsers drop": "http://127.0.\t0.1",
    "newline, which some parsers drop": "http://127.0.0.1\n",
    "header injection": "http://127.0.0.1\r\nHost: x",
    "NUL": "http://127.0.0.1\0",
    "percent": "http://127.0.0.%31",
    "full-width digits": "http://\uff11\uff12\uff17.0.0.1",
    "circled digits": "http://\u2460\u2461\u2466.0.0.1",
    "ideographic full stop": "http://127\u30020\u30020\u30021",
    "IDN that is not encoded": "http://b\u00fccher.example",
    "unclosed bracket": "http://[::1",
    "unopened bracket": "http://::1]",
    "bare IPv6": "http://::1",
    "text behind the bracket": "http://[::1]x:80",
    "text before the bracket": "http://x[::1]:80",
    "IPv4 in brackets": "http://[127.0.0.1]",
    "future address": "http://[v1.x]:80",
    "empty brackets": "http://[]",
    "zone": "http://[fe80::1%eth0]",
    "encoded zone": "http://[::1%25lo]",
    "not an address": "http://[::1::]",
    "empty label": "http://a..b",
    "hyphen first": "http://-a.example",
    "hyphen last": "http://a-.example",
    "underscore first": "http://_a",
    "long label": "http://" + "a" * 64,
    "long URL": "http://" + "a." * 200 + "b",
    "empty": "",
    "slash": "/",
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_odd_spellings_are_refused(text: str) -> None:
    with pytest.raises(InputError) as caught:
        normal_url(text)
    assert caught.value.code == "bad_peer_url"
    assert not text or len(text) < 8 or text not in caught.value.message


@pytest.mark.parametrize("value", [None, 5000, True, ["http://a"], {"url": "http://a"}, b"http://a"])
def test_what_is_no_text_is_refused(value: object) -> None:
    with pytest.raises(InputError):
        normal_url(value)


def test_the_longest_url_is_taken() -> None:
    """A URL of exactly 255 characters, and none of 256, though its name would be a name."""
    longest = "http://" + ".".join(["a" * 62, *["a" * 61] * 3])
    assert len(longest) == MAX_URL == 255
    assert normal_url(longest) == longest
    with pytest.raises(InputError):
        normal_url("http://" + ".".join(["a" * 62, "a" * 62, *["a" * 61] * 2]))
    with pytest.raises(InputError):
        normal_url("http://" + ".".join(["a" * 60] * 4) + ".a" + "b" * 10)


# address -> (may be connected to by a public node, and by one with private peers)
ADDRESSES = {
    "8.8.8.8": (True, True),
    "2606:4700::1111": (True, True),
    "127.0.0.1": (False, True),
    "127.255.255.254": (False, True),
    "::1": (False, True),
    "10.1.2.3": (False, True),
    "172.16.0.1": (False, True),
    "192.168.1.1": (False, True),
    "100.64.0.1": (False, True),  # carrier-grade NAT
    "fd12::1": (False, True),
    "fec0::1": (False, True),  # site-local, of old
    # These wrap an IPv4 address, and count as that one too.
    "::ffff:127.0.0.1": (False, True),
    "::ffff:10.0.0.1": (False, True),
    "::ffff:8.8.8.8": (False, True),
    "::127.0.0.1": (False, True),
    "64:ff9b::127.0.0.1": (False, True),
    "64:ff9b:1::10.0.0.1": (False, True),
    "2002:7f00:1::": (False, True),
    "2001:0:4136:e378:8000:63bf:f5ff:fffe": (False, True),  # Teredo of 10.0.0.1
    # Never, whoever asks.
    "169.254.169.254": (False, False),
    "169.254.0.1": (False, False),
    "fe80::1": (False, False),
    "::ffff:169.254.169.254": (False, False),
    "::169.254.169.254": (False, False),
    "64:ff9b::169.254.169.254": (False, False),
    "64:ff9b:1::169.254.169.254": (False, False),
    "2002:a9fe:a9fe::": (False, False),
    "100.100.100.200": (False, False),
    "192.0.0.192": (False, False),
    "168.63.129.16": (False, False),
    "fd00:ec2::254": (False, False),
    "0.0.0.0": (False, False),
    "::": (False, False),
    "::ffff:0.0.0.0": (False, False),
    "224.0.0.1": (False, False),
    "ff02::1": (False, False),
    "255.255.255.255": (False, False),
    "240.0.0.1": (False, False),
}


@pytest.mark.parametrize(("address", "allowed"), ADDRESSES.items(), ids=ADDRESSES)
def test_addresses(address: str, allowed: tuple[bool, bool]) -> None:
    parsed = ipaddress.ip_address(address)
    assert (may_connect(parsed, private=False), may_connect(parsed, private=True)) == allowed
    url = normal_url(f"http://[{address}]:1" if ":" in address else f"http://{address}:1")
    for private, may in zip((False, True), allowed, strict=True):
        if may:
            check_address(url, private=private)
        else:
            with pytest.raises(InputError):
                check_address(url, private=private)


def test_names_are_judged_when_they_are_resolved() -> None:
    check_address("http://metadata.google.internal", private=False)
    check_address("http://localhost:5000", private=False)


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("localhost", True),
        ("node.localhost", True),
        ("localhost.example", False),
        ("notlocalhost", False),
        ("h", False),
    ],
)
def test_names_of_the_machine_that_resolves_them(host: str, local: bool) -> None:
    assert is_local_name(host) == local
