"""URLs of a forward proxy: right ones are accepted, mistyped ones refused, and no refusal repeats a part of them."""

from base64 import b64decode
from dataclasses import replace
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.errors import BadSettings
from services.settings.proxy_url import ProxyUrl, normal, parse
from services.settings.table import load
from services.settings.values import BadValue

# Longer than any word of our messages, so that a part of it in a message is a leak.
SECRET = "Xq7Zk9Wv"


@pytest.mark.parametrize(
    ("url", "same"),
    [
        ("http://h:3128", "http://h:3128"),
        ("http://h:3128/", "http://h:3128"),
        ("HTTP://H", "http://h:80"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://[0:0::1]:7", "http://[::1]:7"),
        ("http://proxy.internal.:7", "http://proxy.internal:7"),
        ("http://me@h:7", "http://me:@h:7"),
        ("http://me:@h:7", "http://me:@h:7"),
        ("http://me:p:w@h:7", "http://me:p%3Aw@h:7"),
        ("http://me:%70%2f%40@h:7", "http://me:p%2F%40@h:7"),
        ("http://dom%5Cme:a+b!@h:7", "http://dom%5Cme:a%2Bb%21@h:7"),
    ],
)
def test_a_url_has_one_spelling(url: str, same: str) -> None:
    assert normal(url) == same
    assert normal(same) == same
    settings = load({"QUARRY_PEER_PROXY": url})
    assert settings.peer_proxy == same and not settings.peer_proxy_resolves
    assert load({"QUARRY_PEER_PROXY": url, "QUARRY_PEER_PROXY_RESOLVES": "yes"}).peer_proxy_resolves


@pytest.mark.parametrize(
    "url",
    [
        "h", "h:3128", "http:", "http:/h", "http://", "http:///", "http://:3128", "http://u:p@", "http://u:p@/",
        "https://h:443", "socks5://h:1080", "redis://h", "http://h:0", "http://h:99999", "http://h:abc", "http://h:",
        "http://h:08080", "http://::1:3128", "http://[::1", "http://[::1]3128", "http://[127.0.0.1]", "http://127.1",
        "http://2130706433", "http://a b", "http://h*", "http://h/path", "http://h?a=1", "http://h#a", "http://@h",
        "http://:p@h", "http://u:p w@h", "http://u:p@w@h", "http://u:%@h", "http://u:%zz@h", "http://u:%ff@h",
        "http://u:%00@h", "http://u:%0d%0aX@h", "http://u:p/@h", "http://u%3Ax:p@h", "http://u:" + "p" * 1024 + "@h",
        "http://u:pä@h", "http://*:3128", "http://h,http://i",
    ],
)  # fmt: skip
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(BadValue) as caught:
        parse(url)
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "shape",
    [
        "http://{0}:{0}#{0}@h", "http://u:{0}/{0}@h:1", "http://u:{0}?{0}@h", "http://u:{0}@h:99999", "http://u:{0}@",
        "http://u:{0}@h/{0}", "{0}://u:{0}@h", "'http://u:{0}@h'", " http://u:{0}@h", "http://u:{0}@::1", "u:{0}@h:1",
        "http://u:{0}@{0}*", "http://u:{0} @h", "https://u:{0}@h:1", "http://{0}%3A:{0}@h", "http://u:%ff{0}@h",
    ],
)  # fmt: skip
def test_no_refusal_repeats_a_piece_of_the_url(shape: str) -> None:
    with pytest.raises(BadSettings) as caught:
        load({"QUARRY_PEER_PROXY": shape.format(SECRET)})
    message = str(caught.value)
    assert message.startswith("QUARRY_PEER_PROXY: ") and SECRET.lower() not in message.lower()


@given(password=st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=40))
def test_any_password_can_be_written(password: str) -> None:
    url = f"http://quarry:{quote(password, safe='')}@h:7"
    parts = parse(url)
    assert parts == ProxyUrl("h", 7, "quarry", password) == parse(normal(url))
    assert parts.authorization is not None
    assert b64decode(parts.authorization.removeprefix("Basic ")).decode() == f"quarry:{password}"
    assert repr(parts) == repr(replace(parts, password="another", user="other")) and parts.public == "http://h:7"


def test_no_login_is_sent_without_a_user() -> None:
    assert parse("http://h:7").authorization is None
    assert parse("http://[::1]:7").authority == "[::1]:7"


def test_names_are_left_to_a_proxy_only_if_there_is_one() -> None:
    with pytest.raises(BadSettings, match="QUARRY_PEER_PROXY_RESOLVES needs QUARRY_PEER_PROXY"):
        load({"QUARRY_PEER_PROXY_RESOLVES": "true"})


def test_settings_that_are_printed_do_not_show_the_login() -> None:
    assert SECRET not in repr(load({"QUARRY_PEER_PROXY": f"http://me:{SECRET}@h:7"}))
