"""`quarry up` reads the environment, its options win over it, and a whole node works on a store behind a socket."""

import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from api.cli import quarry as command
from api.cli.node.up import _settings
from services.errors import BadSettings
from services.settings.redis_url import normal
from tests.support.commands import done, get, launched
from tests.support.servers import PASSWORD, socket_server

ADDRESS = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"


def test_a_node_by_the_environment_alone(tmp_path: Path) -> None:
    """All settings that `up` once ignored, and a store behind a socket: API, workers, ticker, dashboard, doctor."""
    token = tmp_path / "token"
    token.touch(mode=0o600)
    token.write_text("k" * 40 + "\n")
    home = tmp_path / "home"
    with socket_server(tmp_path) as url:
        given = {
            "QUARRY_REDIS_URL": url,
            "QUARRY_HOST": "LocalHost",
            "QUARRY_NODE": "mine",
            "QUARRY_AUTOMINE": "false",
            "QUARRY_REWARD_ADDRESS": ADDRESS,
            "QUARRY_ADMIN_TOKEN_FILE": str(token),
            "QUARRY_SERVICE_HOST": "10.0.0.7",
        }
        with launched(home, **given) as (_, ready):
            [node] = ready["nodes"]
            assert (node["name"], ready["redis_url"], ready["admin_token_file"]) == ("mine", normal(url), str(token))
            status = get(node["url"] + "/status")
            assert (status["node"], status["automine"], status["address"]) == ("mine", False, ADDRESS)
            mined = done(home, "mine")[0]
            assert mined["transactions"][0]["recipient"] == ADDRESS
            found = {item["check"]: item for item in json.loads(_doctor(home))}
            assert "ok" == found["ticker"]["verdict"], found
            assert found["store"]["verdict"] == "fail" and "noeviction" not in found["store"]["text"], found["store"]
            request = urllib.request.Request(node["url"] + "/rq/0/data/workers.json")
            request.add_header("Authorization", f"Bearer {'k' * 40}")
            with urllib.request.urlopen(request, timeout=10) as response:
                assert len(json.load(response)["workers"]) == 2
            request.full_url = node["url"] + "/rq/"
            with urllib.request.urlopen(request, timeout=10) as response:
                page = response.read().decode()
                assert PASSWORD not in page and "pa%23" not in page
        for log in (home / "dev" / "mine" / "logs").iterdir():
            text = log.read_text()
            assert "pa%23" not in text and PASSWORD not in text and "Traceback" not in text, log
        assert "QUARRY_SERVICE_HOST" in (home / "dev" / "mine" / "logs" / "api.log").read_text()


def _doctor(home: Path) -> str:
    from tests.support.commands import quarry

    result = quarry(home, "doctor", "--json")
    assert "pa%23" not in result.stdout and PASSWORD not in result.stdout
    return result.stdout


@pytest.mark.parametrize(
    ("given", "options", "field", "value"),
    [
        ({}, {}, "automine", True),
        ({}, {}, "port", 5000),
        ({"QUARRY_AUTOMINE": "no"}, {}, "automine", False),
        ({"QUARRY_AUTOMINE": "no"}, {"QUARRY_AUTOMINE": ("--automine", "true")}, "automine", True),
        ({"QUARRY_PORT": "5050"}, {}, "port", 5050),
        ({"QUARRY_PORT": "5050"}, {"QUARRY_PORT": ("--port", "0")}, "port", 0),
        ({"QUARRY_PORT": "tcp://10.0.0.7:5000"}, {}, "port", 5000),
        ({"QUARRY_HOST": "0.0.0.0"}, {"QUARRY_HOST": ("--host", "[::1]")}, "host", "::1"),
        ({"QUARRY_DATA_DIR": "/a"}, {}, "data_dir", Path("/a")),
        ({"QUARRY_DATA_DIR": "/a"}, {"QUARRY_DATA_DIR": ("--data-dir", "/b")}, "data_dir", Path("/b")),
        ({"QUARRY_REDIS_URL": "valkey://h"}, {}, "redis_url", "redis://h:6379/0"),
    ],
)
def test_options_go_above_the_environment(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], options: dict[str, Any], field: str, value: Any
) -> None:
    monkeypatch.delenv("QUARRY_DATA_HOME", raising=False)
    assert getattr(_settings(given, options), field) == value


def test_what_is_refused_is_named_as_it_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QUARRY_DATA_HOME", raising=False)
    with pytest.raises(BadSettings, match=r"^--host \(QUARRY_HOST\): must be a host only"):
        _settings({}, {"QUARRY_HOST": ("--host", "http://a")})
    with pytest.raises(BadSettings, match=r"^QUARRY_HOST: must be a host only"):
        _settings({"QUARRY_HOST": "http://a"}, {"QUARRY_HOST": ("--host", None)})
    with pytest.raises(BadSettings, match=r"^--data-dir: must not be empty"):
        _settings({}, {"QUARRY_DATA_DIR": ("--data-dir", "")})
    monkeypatch.setenv("QUARRY_DATA_HOME", "~nosuch-user/x")
    with pytest.raises(BadSettings, match=r"^QUARRY_DATA_HOME: names the home"):
        _settings({}, {})


@pytest.mark.parametrize(
    ("variables", "options", "word"),
    [
        ({"QUARRY_REDIS_URL": "redis://h"}, [], "QUARRY_REDIS_URL is for one node"),
        ({}, ["--redis-url", "redis://h"], "--redis-url is for one node"),
        ({"QUARRY_NODE": "mine"}, [], "QUARRY_NODE is for one node"),
        ({"QUARRY_PUBLIC_URL": "http://a"}, [], "QUARRY_PUBLIC_URL is for one node"),
        ({"QUARRY_PORT": "65535"}, [], "leaves no ports for 2 nodes"),
        ({}, ["--links", "--nodes", "1"], "--links are between nodes"),
        ({"QUARRY_PEER_PROXY": "http://127.0.0.1:1"}, ["--links"], "QUARRY_PEER_PROXY names another"),
    ],
)
def test_what_is_one_nodes_is_not_for_several(
    tmp_path: Path, variables: dict[str, str], options: list[str], word: str
) -> None:
    result = CliRunner().invoke(
        command, ["up", "--nodes", "2", *options], env={"QUARRY_DATA_HOME": str(tmp_path), **variables}
    )
    assert (result.exit_code, result.stdout) == (2, "")
    assert word in result.stderr and result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("given", "options", "automine"),
    [
        ({}, {}, "true"),
        ({"QUARRY_BLOCK_TIME": "0"}, {}, "true"),
        ({"QUARRY_BLOCK_TIME": "20"}, {}, "false"),
        ({}, {"QUARRY_BLOCK_TIME": ("--block-time", "0.5")}, "false"),
        ({"QUARRY_AUTOMINE": "true"}, {"QUARRY_BLOCK_TIME": ("--block-time", "2")}, "true"),
        ({"QUARRY_BLOCK_TIME": "2"}, {"QUARRY_AUTOMINE": ("--mixed-mining", "true")}, "true"),
    ],
)
def test_with_a_block_time_nothing_is_mined_in_between_unless_it_is_said(
    given: dict[str, str], options: dict[str, tuple[str, str | None]], automine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, str] = {}
    monkeypatch.setattr("api.cli.node.up.load", seen.update)
    _settings(given, options)
    assert seen["QUARRY_AUTOMINE"] == automine
