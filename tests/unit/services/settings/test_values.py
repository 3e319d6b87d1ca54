"""Values of settings are read strictly where Python itself is lenient; variables of others are passed over."""

import os
import re
from pathlib import Path

import pytest

from api.cli.options import running_node
from services.errors import BadSettings
from services.launch.node_files import data_home
from services.settings import paths
from services.settings.hosts import bind_address, normal_host, normal_origin
from services.settings.table import VARIABLES, load
from services.settings.values import BadValue
from services.system.programs import ROOT
from services.system.text_files import BadSecret, BadTextFile, read_secret, read_text_file

NUMBERS = ("QUARRY_PORT", "QUARRY_MAX_BODY", "QUARRY_API_THREADS", "QUARRY_MAX_PEERS", "QUARRY_RESOLVE_SECONDS")
ODD_NUMBERS = [
    "1_000", " 5 ", "5\n", "\N{FULLWIDTH DIGIT ONE}\N{FULLWIDTH DIGIT TWO}", "\N{ARABIC-INDIC DIGIT ONE}", "0x10",
    "1e3", "05", "+5", "-5", "5.0", "true", "nan", "inf", "9" * 5000,
    "'50'", '"50"', "5;", "tcp", "\N{SUPERSCRIPT TWO}",
]  # fmt: skip


def refusal(given: dict[str, str]) -> str:
    with pytest.raises(BadSettings) as caught:
        load(given)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("text", [text for text in ODD_NUMBERS if text])
def test_a_number_is_ascii_digits(name: str, text: str) -> None:
    assert refusal({name: text}).startswith(f"{name}: ")


@pytest.mark.parametrize("name", ["QUARRY_MINE_WAIT", "QUARRY_LINGER"])
@pytest.mark.parametrize("text", ["nan", "NaN", "inf", "-0", "1e1", "1_0", " 1", ".5", "5.", "0,5", "60.1", "01"])
def test_seconds_are_a_plain_decimal(name: str, text: str) -> None:
    assert refusal({name: text}).startswith(f"{name}: ")


@pytest.mark.parametrize(("text", "meant"), [("TRUE", True), ("Yes", True), ("on", True), ("1", True), ("OFF", False)])
def test_a_flag_may_be_in_capitals(text: str, meant: bool) -> None:
    assert load({"QUARRY_AUTOMINE": text}).automine is meant


@pytest.mark.parametrize("text", ["2", "y", "enabled", "null", "true ", "truefalse"])
def test_a_flag_is_one_of_eight_words(text: str) -> None:
    assert refusal({"QUARRY_AUTOMINE": text}).startswith("QUARRY_AUTOMINE: ")


def test_words_may_be_in_capitals() -> None:
    settings = load({"QUARRY_LOG_LEVEL": "DEBUG", "QUARRY_LOG_FORMAT": "JSON", "QUARRY_KERNEL": "Plain"})
    assert (settings.log_level, settings.log_format, settings.kernel) == ("debug", "json", "plain")


@pytest.mark.parametrize("name", VARIABLES)
@pytest.mark.parametrize(
    "value", ["\0", "a\0b", "\x1b[31m", "a\x7fb", '"dev"', "'dev'", "\N{LINE SEPARATOR}x", "a\udcffb"]
)
def test_control_characters_and_quotes_are_refused_everywhere(name: str, value: str) -> None:
    message = refusal({name: value})
    assert message.startswith(f"{name}: ")
    assert message.isprintable()


@pytest.mark.parametrize("name", ["QUARRY_PEERS", "QUARRY_PUBLIC_URL"])
@pytest.mark.parametrize(
    "value", ["ftp://a", "http://a/b", "http://u:p@a", "http://a:0", "http://a b", "/", "http://127.1"]
)
def test_a_url_of_a_node_is_refused_by_its_own_name(name: str, value: str) -> None:
    assert refusal({name: value}).startswith(f"{name}: ")


# --- Hosts and origins ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("127.0.0.1", "127.0.0.1"), ("[::1]", "::1"), ("0:0:0::1", "::1"), ("LocalHost", "localhost"),
        ("localhost.", "localhost"),
        ("Node-1.Example.org", "node-1.example.org"), ("my_service", "my_service"), ("0.0.0.0", "0.0.0.0"),
        ("::", "::"),
    ],
)  # fmt: skip
def test_a_host_has_one_spelling(text: str, host: str) -> None:
    assert normal_host(text) == host


@pytest.mark.parametrize(
    "text",
    ["http://a", "a:5000", "127.0.0.1:5000", "[::1]:5000", "127.1", "0x7f000001", "2130706433", "*", "a b", "a,b",
     "[::1",
     "[127.0.0.1]", "-a", "a..b", "\N{LATIN SMALL LETTER U WITH DIAERESIS}ber.example", "a/b", "::g"],
)  # fmt: skip
@pytest.mark.parametrize("name", ["QUARRY_HOST", "QUARRY_ALLOWED_HOSTS"])
def test_what_is_no_host_is_refused(name: str, text: str) -> None:
    if name == "QUARRY_ALLOWED_HOSTS" and text == "a,b":
        assert load({name: text}).allowed_hosts == ("a", "b")
        return
    assert refusal({name: text, "QUARRY_SPEC": "network"}).startswith(f"{name}: ")


def test_a_name_is_resolved_to_an_address_of_this_machine() -> None:
    assert bind_address("localhost") == "127.0.0.1"
    assert bind_address("::1") == "::1"
    with pytest.raises(BadValue, match="resolve"):
        bind_address("no-such-name.invalid")


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://Example.org", "https://example.org"), ("https://example.org:443", "https://example.org"),
        ("http://localhost:3000", "http://localhost:3000"), ("http://[::1]:80", "http://[::1]"),
        ("moz-extension://9ed1-ab", "moz-extension://9ed1-ab"),
    ],
)  # fmt: skip
def test_an_origin_is_as_browsers_send_it(text: str, origin: str) -> None:
    assert normal_origin(text) == origin


@pytest.mark.parametrize(
    "text",
    ["*", "null", "example.org", "https://", "https://a/", "https://a/b", "https://a?b", "https://*.example.org",
     "ftp://a",
     "https://u:p@a", "https://a:0", "https://a:99999", "https://a:b", "file:///x", "javascript://a", "https://a b",
     "//a"],
)  # fmt: skip
def test_a_nonsense_origin_is_refused(text: str) -> None:
    assert refusal({"QUARRY_CORS_ORIGINS": f"https://ok.example,{text}"}).startswith("QUARRY_CORS_ORIGINS: ")


# --- Variables of others ----------------------------------------------------------------------------------------------


def test_what_kubernetes_says_of_a_service_of_our_name_is_passed_over() -> None:
    given = {
        "QUARRY_SERVICE_HOST": "10.0.0.7", "QUARRY_SERVICE_PORT": "5000", "QUARRY_SERVICE_PORT_HTTP": "5000",
        "QUARRY_PORT": "tcp://10.0.0.7:5000", "QUARRY_PORT_5000_TCP": "tcp://10.0.0.7:5000",
        "QUARRY_PORT_5000_TCP_PROTO": "tcp", "QUARRY_PORT_5000_TCP_PORT": "5000",
        "QUARRY_PORT_5000_TCP_ADDR": "10.0.0.7",
        "QUARRY_API_SERVICE_HOST": "10.0.0.8", "QUARRY_API_PORT": "tcp://10.0.0.8:5000",
        "QUARRY_NODE_1_PORT_80_UDP": "udp://10.0.0.8:80",
    }  # fmt: skip
    settings = load(given)
    assert settings.port == 5000
    assert set(settings.passed_over) == set(given)


@pytest.mark.parametrize("name", ["QUARRY_PROT", "QUARRY_SERVICE", "QUARRY_HOSTS", "QUARRY_", "QUARRY_API_PORT"])
def test_an_unknown_variable_is_refused_with_the_way_out(name: str) -> None:
    message = refusal({name: "5000"})
    assert message.startswith(f"{name}: there is no such setting; unset it.")
    if name == "QUARRY_PROT":
        assert "Is QUARRY_PORT meant?" in message


def test_our_own_env_file_can_be_in_the_environment() -> None:
    lines = (ROOT / "deploy/.env.example").read_text("utf-8").splitlines()
    given = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    settings = load(given)
    assert (settings.spec.name, settings.passed_over) == ("network", ("QUARRY_IMAGE", "QUARRY_MINER_IMAGE"))


# --- Files ------------------------------------------------------------------------------------------------------------


def secret(path: Path, content: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("content", [b"k" * 32, b"  " + b"k" * 40 + b"\r\n", b"\xef\xbb\xbf" + b"k" * 32 + b"\n"])
def test_a_secret_is_a_long_word(tmp_path: Path, content: bytes) -> None:
    assert set(read_secret(secret(tmp_path / "token", content))) == {"k"}


@pytest.mark.parametrize("content", [b"", b"\n", b" \t\r\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf \n", b"x", b"k" * 31])
def test_a_secret_that_can_be_guessed_is_none(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(BadSecret, match="token"):
        read_secret(secret(tmp_path / "token", content))


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (("k" * 40).encode("utf-16"), "UTF-16"), (("k" * 40).encode("utf-16-le"), "UTF-16"), (b"\xff\xfe", "UTF-16"),
        (b"k" * 20 + b" " + b"k" * 20, "one line"), (b"k" * 40 + b"\n" + b"k" * 40, "one line"),
        (("\N{LATIN SMALL LETTER E WITH ACUTE}" * 40).encode(), "ASCII"), (b"\xe9" * 40, "not UTF-8"),
        (b"k" * 40 + b"\x1b", "one line"), (b"k" * 5000, "bytes"),
    ],
)  # fmt: skip
def test_a_secret_that_is_spoilt_is_named(tmp_path: Path, content: bytes, word: str) -> None:
    with pytest.raises(BadTextFile, match=word) as caught:
        read_secret(secret(tmp_path / "token", content))
    assert "kkk" not in str(caught.value)
    assert not isinstance(caught.value, BadSecret)


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o640, 0o666, 0o601])
def test_a_secret_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(BadTextFile, match="chmod 600"):
        read_secret(secret(tmp_path / "token", b"k" * 40, mode))


@pytest.mark.parametrize(("mode", "allowed"), [(0o440, True), (0o640, True), (0o660, False), (0o444, False)])
def test_the_group_may_read_what_root_owns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, allowed: bool
) -> None:
    path = secret(tmp_path / "token", b"k" * 40, mode)
    if path.stat().st_uid != 0:
        pytest.skip("only root can make a file of root's")
    monkeypatch.setattr(os, "geteuid", lambda: 10001)
    if allowed:
        assert read_secret(path) == "k" * 40
    else:
        with pytest.raises(BadTextFile, match="chmod 600"):
            read_secret(path)


def test_a_file_that_cannot_be_read_to_its_end_is_refused(tmp_path: Path) -> None:
    """A directory, a pipe that nobody writes to, an endless device, a loop of links, a name that is too long."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path in (
        tmp_path,
        tmp_path / "pipe",
        Path("/dev/zero"),
        tmp_path / "loop",
        tmp_path / ("n" * 300),
        tmp_path / "no",
    ):
        with pytest.raises(BadTextFile):
            read_text_file(path, limit=1000)
        with pytest.raises(BadTextFile):
            read_secret(path)


OWN_SPEC = 'name = "own"\nchain_id = 4244\ngenesis_timestamp = 1750000000\n'


def test_a_spec_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(OWN_SPEC, "utf-8-sig")
    assert load({"QUARRY_SPEC": str(path)}).spec.name == "own"


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (OWN_SPEC.encode("utf-16"), "UTF-16"), (b"\xff", "not UTF-8"), (b"#" * 2**23, "bytes"),
        (b"a = " + b"[" * 20_000, "TOML"),
        (b"a = 1" + b"0" * 5000, ""), (b"\0", "UTF-16"),
    ],
)  # fmt: skip
def test_a_spec_that_is_spoilt_is_named(tmp_path: Path, content: bytes, word: str) -> None:
    path = tmp_path / "own.toml"
    path.write_bytes(content)
    message = refusal({"QUARRY_SPEC": str(path)})
    assert message.startswith("QUARRY_SPEC: ") and word in message and str(path) in message


def test_a_spec_is_no_directory_and_no_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", Path("/dev/null")):
        assert refusal({"QUARRY_SPEC": str(path)}).startswith("QUARRY_SPEC: ")


# --- Homes ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user whom the system does not know, without HOME: as in many containers."""
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda _: (_ for _ in ()).throw(KeyError("no such user")))
    for name in ("QUARRY_DATA_HOME", "QUARRY_DATA_DIR", "QUARRY_WALLETS"):
        monkeypatch.delenv(name, raising=False)


def test_a_node_needs_no_home(homeless: None) -> None:
    assert load({}).data_dir is None
    assert data_home({}) is None
    assert running_node() is None
    assert load({"QUARRY_DATA_DIR": "/data"}).data_dir == Path("/data")


@pytest.mark.parametrize("name", ["QUARRY_DATA_DIR", "QUARRY_ADMIN_TOKEN_FILE", "QUARRY_SPEC"])
def test_a_path_in_a_home_that_is_not_there_is_refused(homeless: None, name: str) -> None:
    assert re.match(f"{name}: needs a home directory.* set HOME", refusal({name: "~/x"}))
    assert re.match(f"{name}: names the home directory of a user", refusal({name: "~nosuch-user/x"}))


def test_a_path_in_the_home_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert paths.expanded("~/x") == tmp_path / "x"
    assert load({"QUARRY_ADMIN_TOKEN_FILE": "~/token"}).admin_token_file == tmp_path / "token"


def test_the_data_home_is_named_by_the_more_special_variable() -> None:
    assert data_home({"QUARRY_DATA_HOME": "/a", "QUARRY_DATA_DIR": "/b"}) == Path("/a")
    assert data_home({"QUARRY_DATA_DIR": "/b"}) == Path("/b")
    with pytest.raises(BadSettings, match="QUARRY_DATA_HOME: names the home"):
        data_home({"QUARRY_DATA_HOME": "~nosuch-user/x"})
