"""URLs of a Redis: right ones are accepted, mistyped ones are refused, and no refusal repeats a part of the URL."""

import re
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.errors import BadSettings
from services.settings.redis_url import OPTIONS, normal, parse, written
from services.settings.table import load
from services.settings.values import BadValue
from services.system.programs import ROOT

PAGE = ROOT / "docs" / "settings.md"
# Longer than any word of our messages, so that a part of it in a message is a leak.
SECRET = "Xq7Zk9Wv"


@pytest.mark.parametrize(
    ("url", "same"),
    [
        ("redis://h", "redis://h:6379/0"),
        ("redis://h/", "redis://h:6379/0"),
        ("REDIS://H:7/3", "redis://h:7/3"),
        ("valkey://h:7/3", "redis://h:7/3"),
        ("valkeys://h:7/3", "rediss://h:7/3"),
        ("redis://h:7?db=3", "redis://h:7/3"),
        ("redis://[::1]:7/3", "redis://[::1]:7/3"),
        ("redis://[0:0::1]", "redis://[::1]:6379/0"),
        ("redis://[fe80::1%25eth0]:7", "redis://[fe80::1%25eth0]:7/0"),
        ("redis://my_service.internal.:7", "redis://my_service.internal:7/0"),
        ("redis://quarry@h", "redis://quarry@h:6379/0"),
        ("redis://u:p:w@h", "redis://u:p%3Aw@h:6379/0"),
        ("redis://:p@w@h", "redis://:p%40w@h:6379/0"),
        ("redis://:pä@h", "redis://:p%C3%A4@h:6379/0"),
        ("redis://:p%23%2f%40%25%3A@h", "redis://:p%23%2F%40%25%3A@h:6379/0"),
        ("rediss://h?ssl_cert_reqs=NONE", "rediss://h:6379/0?ssl_cert_reqs=none"),
        ("rediss://h?ssl_check_hostname=0&db=2", "rediss://h:6379/2?ssl_check_hostname=false"),
        ("redis+sentinel://h/jobs", "redis+sentinel://h:26379/jobs/0"),
        ("Valkey+Sentinel://u:p@A,b:7,[::1]/jobs/3", "redis+sentinel://u:p@a:26379,b:7,[::1]:26379/jobs/3"),
        ("redis+sentinel://h/jobs?db=2&sentinel_password=a%26b",
         "redis+sentinel://h:26379/jobs/2?sentinel_password=a%26b"),
        ("valkeys+sentinel://h/jobs/?sentinel_password=b&sentinel_user=a&ssl_cert_reqs=none",
         "rediss+sentinel://h:26379/jobs/0?ssl_cert_reqs=none&sentinel_user=a&sentinel_password=b"),
        ("unix:///run/r.sock", "unix:///run/r.sock"),
        ("unix://u:p@/run/a%20b.sock?db=2", "unix://u:p@/run/a%20b.sock?db=2"),
    ],
)  # fmt: skip
def test_a_url_has_one_spelling(url: str, same: str) -> None:
    assert normal(url) == same
    assert normal(same) == same


@pytest.mark.parametrize(
    "url",
    [
        "", "h", "h:6379", "redis:", "redis:/h", "redis://", "redis:///0", "redis://:6379", "redis://u:p@/0",
        "http://h", "redis+sentinel://h", "redis:h", "://h",
        "redis+sentinel://", "redis+sentinel://h", "redis+sentinel://h/", "redis+sentinel://h/a b", "redis+sentinel://h/a*",
        "redis+sentinel:///jobs", "redis+sentinel://h,/jobs", "redis+sentinel://,h/jobs", "redis+sentinel://h,h:26379/jobs",
        "redis+sentinel://h:0/jobs", "redis+sentinel://h/jobs/x", "redis+sentinel://h/jobs/1/2", "redis+sentinel://h/0/jobs",
        "redis+sentinel://h/jobs/1?db=1", "redis+sentinel://h/jobs?sentinel_user=a", "redis://h?sentinel_password=a",
        "redis+sentinel://h/jobs?sentinel_password=", "redis+sentinel://h/jobs?ssl_cert_reqs=none", "unix+sentinel://h/jobs",
        "redis+sentinel://h/" + "a" * 65, "redis+sentinel://" + ",".join(f"h{n}" for n in range(16)) + "/jobs",
        "unix:///r.sock?sentinel_password=a", "redis+sentinel://h,::1/jobs", "redis+sentinel://u:@h/jobs",
        "redis://h:0", "redis://h:99999", "redis://h:abc", "redis://h:", "redis://h:06379",
        "redis://h:-1", "redis://h:\N{FULLWIDTH DIGIT ONE}",
        "redis://::1", "redis://::1:6379/0", "redis://[::1", "redis://[::1]6379", "redis://[h]", "redis://[127.0.0.1]",
        "redis://127.1", "redis://2130706433", "redis://a b", "redis://a,b", "redis://h*",
        "redis://h/abc", "redis://h/-1", "redis://h/1/2", "redis://h/1/", "redis://h/01", "redis://h/65536", "redis://h//1",
        "redis://:@h", "redis://u:@h", "redis://h#", "redis://h/0#x", "redis://:%@h", "redis://:%zz@h", "redis://:%ff@h",
        "redis://h/0?db=1", "redis://h?db=x", "redis://h?db=-1", "redis://h?db=", "redis://h?db=1&db=1", "redis://h?db",
        "redis://h?protocol=3", "redis://h?decode_responses=True", "redis://h?foo=1", "redis://h?socket_timeout=5",
        "redis://h?max_connections=5", "redis://h?Foo=1", "redis://h?=1", "redis://h?ssl_cert_reqs=none",
        "rediss://h?ssl_cert_reqs=maybe", "rediss://h?ssl_check_hostname=2", "rediss://h?ssl_ca_certs=/nowhere/ca.pem",
        "unix://", "unix:///", "unix://run/r.sock", "unix://h/run/r.sock", "unix:///r.sock?ssl_cert_reqs=none",
        "unix:///" + "a" * 107, "unix:///a%00b",
    ],
)  # fmt: skip
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(BadValue) as caught:
        parse(url)
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("option", ["protocol", "decode_responses", "foo", "socket_timeout", "max_connections"])
def test_an_option_that_is_not_taken_is_named(option: str) -> None:
    with pytest.raises(BadValue, match=f"the option {option}, which Quarry does not take"):
        parse(f"redis://h?{option}=True")
    with pytest.raises(BadValue, match="the option ssl_cert_reqs, which is for rediss"):
        parse("redis://h?ssl_cert_reqs=none")


@pytest.mark.parametrize("kind", ["REDIS_URL", "BROKER_URL"])
@pytest.mark.parametrize(
    "shape",
    [
        "redis://:{0}#{0}/{0}@{0}@h", "redis://:{0}/{0}@h:1/0", "redis://u:{0}?{0}@h", "redis://u:1?{0}=1@h",
        "redis+sentinel://u:{0}@h/a b", "redis+sentinel://h/jobs?sentinel_password=%{0}", "redis+sentinel://{0}:x/jobs",
        "redis+sentinel://:{0}@h/{0}/{0}", "redis+sentinel://h/jobs?sentinel_user={0}", "redis+sentinel://:{0},{0}@h,h/jobs",
        "redis://{0}:1/{0}@h", "redis://:%{0}@h", "redis://u:{0}@h:99999", "redis://u:{0}@h/abc", "redis://u:{0}@",
        "redis://u:{0}@/0", "redis://u:{0}@h?foo=1", "{0}://u:{0}@h", "'redis://:{0}@h'", '"redis://:{0}@h"',
        " redis://:{0}@h", "redis://:{0}@h\n", "redis://:{0}@::1", "redis://:{0}@[::1", "u:{0}@h:6379", "redis://:{0}\t@h",
        "redis://:{0}[@h:x", "redis://:{0}]@h:x", "redis:// {0}@h", "unix://:{0}@h/x", "redis://h?db={0}",
        "rediss://h?ssl_ca_certs=/{0}", "rediss://h?ssl_cert_reqs={0}", "redis://h?{0}=1",
    ],
)  # fmt: skip
def test_no_refusal_repeats_a_piece_of_the_url(kind: str, shape: str) -> None:
    url = shape.format(SECRET)
    with pytest.raises(BadSettings) as caught:
        load({f"QUARRY_{kind}": url})
    message = str(caught.value)
    assert message.startswith(f"QUARRY_{kind}: ")
    assert SECRET.lower() not in message.lower()
    if url.startswith("redis://") and "@" in url and url == url.strip() and "\t" not in url:
        assert "%23" in message, "how to write such a password is the way out"


@given(password=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=40))
def test_any_password_can_be_written(password: str) -> None:
    from urllib.parse import quote

    parts = parse(f"redis://quarry:{quote(password, safe='')}@h:7/3")
    assert (parts.user, parts.password, parts.host, parts.port, parts.database) == ("quarry", password, "h", 7, 3)
    assert parse(written(parts)) == parts
    assert parts.arguments()["password"] == password
    assert repr(parts) == repr(replace(parts, password="another")) and parts.public == "redis://h:7/3"


@given(
    password=st.text("ab:/?#@%[]1=&", min_size=1, max_size=12).map(lambda text: SECRET + text),
    rest=st.sampled_from(["h", "h:7/3", "[::1]:7", "h?foo=1"]),
)
def test_a_raw_password_works_or_is_refused_and_is_never_shown(password: str, rest: str) -> None:
    try:
        parts = parse(f"redis://:{password}@{rest}")
    except BadValue as error:
        assert SECRET not in str(error)
    else:
        assert SECRET in parts.password and SECRET not in parts.public


@given(
    password=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=40),
    hosts=st.lists(st.sampled_from(["a", "b:7", "[::1]", "10.0.0.1"]), min_size=1, unique=True),
)
def test_any_password_of_sentinels_can_be_written(password: str, hosts: list[str]) -> None:
    from urllib.parse import quote

    escaped = quote(password, safe="")
    parts = parse(f"redis+sentinel://u:{escaped}@{','.join(hosts)}/jobs?sentinel_user=s&sentinel_password={escaped}")
    assert (parts.password, parts.sentinel_user, parts.sentinel_password) == (password, "s", password)
    assert len(parts.sentinels) == len(hosts) and parse(written(parts)) == parts
    assert repr(parts) == repr(replace(parts, password="another", sentinel_password="another"))
    assert parts.public.startswith("redis+sentinel://") and "@" not in parts.public and "?" not in parts.public
    assert parts.arguments() == {"db": 0, "username": "u", "password": password}
    assert parts.sentinel_arguments() == {"username": "s", "password": password}


def test_only_the_broker_is_behind_sentinels() -> None:
    url = "redis+sentinel://h/jobs"
    settings = load({"QUARRY_BROKER_URL": url})
    assert settings.broker_url == normal(url) and settings.redis_url == "redis://127.0.0.1:6379/0"
    for variables in ({"QUARRY_REDIS_URL": url}, {"QUARRY_REDIS_URL": "REDISS+SENTINEL://h"}):
        with pytest.raises(BadSettings, match="QUARRY_REDIS_URL: cannot name Sentinels"):
            load(variables)


def test_a_certificate_that_is_not_checked_has_no_name_to_be_checked() -> None:
    arguments = parse("rediss://h?ssl_cert_reqs=none&ssl_check_hostname=true").arguments()
    assert (arguments["ssl_cert_reqs"], arguments["ssl_check_hostname"]) == ("none", False)


def test_a_file_of_an_option_is_a_path(tmp_path: Path) -> None:
    path = tmp_path / "an authority.pem"
    path.touch()
    url = normal(f"rediss://h?ssl_ca_certs={str(path).replace(' ', '%20')}")
    assert parse(url).arguments()["ssl_ca_certs"] == str(path)


@pytest.mark.parametrize("option", ["ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_ca_path"])
def test_a_file_of_an_option_is_a_file_and_a_directory_is_a_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    (tmp_path / "file").touch()
    takes_a_file = option != "ssl_ca_path"
    for name, refusal in (
        ("none", "must name a file that exists." if takes_a_file else "must name a directory that exists."),
        ("", "must name a file, and names a directory or a device." if takes_a_file else None),
        ("file", None if takes_a_file else "must name a directory that exists."),
    ):
        with nullcontext() if refusal is None else pytest.raises(BadValue, match=f"{option}.* {refusal}"):
            parse(f"rediss://h?{option}={tmp_path / name}")
    monkeypatch.setattr("os.access", lambda *_: False)
    if takes_a_file:
        with pytest.raises(BadValue, match=r"must name a file that this user may read\."):
            parse(f"rediss://h?{option}={tmp_path / 'file'}")


def test_the_options_are_on_the_page_of_settings() -> None:
    [line] = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("Options of these URLs")]
    paragraph = PAGE.read_text("utf-8").partition(line)[2].partition("\n\n")[0]
    assert set(re.findall(r"`([a-z_]+)`", line + paragraph)) >= set(OPTIONS)
