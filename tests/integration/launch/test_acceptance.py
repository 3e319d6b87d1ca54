"""What a user tries who has only the documents, and cases that once differed from them."""

import json
import socket
import subprocess
from pathlib import Path

import pytest

from services.chain.accept import Accepted
from services.connections.servers import connect_for_requests
from services.launch.embedded import EmbeddedValkey
from services.mining.templates import MadeTemplate
from services.store.searches import Searched
from tests.support.commands import launched, quarry
from tests.support.http import Client
from tests.support.nodes import TestNode
from tests.support.servers import connect

# --- mining requests ---


def test_a_request_that_is_answered_while_a_round_is_opened_for_it_gives_no_second_block(
    valkey: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = TestNode(connect(valkey))
    here.node.mining.add_request("a" * 32, here.clock.now(), 64)
    make = here.node.rounds._templates.make
    answered: list[Accepted | None] = []

    def make_late(recipient: str) -> MadeTemplate:
        """Between the look at what waits and the template, another process mines the block."""
        if not answered:
            with connect_for_requests(valkey.url) as redis:
                other = here.build(redis)
                round_id = other.rounds.ensure_open()
                assert round_id is not None
                claim = other.searches.claim(round_id, "w1", 10, Searched())
                assert claim is not None
                answered.append(other.rounds.seal(claim, claim.proofs[0], "w1"))
        return make(recipient)

    monkeypatch.setattr(here.node.rounds._templates, "make", make_late)
    assert here.node.rounds.ensure_open() is None
    assert answered[0] is not None and answered[0].request == "a" * 32
    assert here.node.mining.counters()["rounds_opened"] == 1


# --- bodies that nobody reads ---


@pytest.mark.parametrize("path", ["/mine", "/nodes/resolve", "/nodes/register", "/rounds/x"])
def test_no_path_takes_a_body_that_is_too_large(client: Client, path: str) -> None:
    body = b" " * (2**20 + 1)
    client.door.call("POST", path, body).refused(413, "too_large")


def test_a_request_without_a_body_is_not_told_to_say_its_length(client: Client) -> None:
    headers = {"Authorization": "Bearer the-long-admin-token-of-all-these-tests"}
    client.door.call("DELETE", "/nodes", None, **headers).refused(415, "wrong_content_type")


# --- the command line ---


def test_a_server_without_redis_ends_with_one_line(tmp_path: Path) -> None:
    with socket.socket() as closed:  # bound, but not listened on
        closed.bind(("127.0.0.1", 0))
        url = f"redis://127.0.0.1:{closed.getsockname()[1]}/0"
        result = quarry(tmp_path, "api", QUARRY_REDIS_URL=url)
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1 and "QUARRY_REDIS_URL" in result.stderr, result.stderr


def test_an_encrypted_key_is_imported_with_the_passphrase_of_the_environment(tmp_path: Path) -> None:
    key = tmp_path / "theirs.key"
    command = ["openssl", "genpkey", "-algorithm", "ed25519", "-aes256", "-pass", "pass:secret", "-out", str(key)]
    subprocess.run(command, check=True, capture_output=True)
    key.chmod(0o600)
    assert "QUARRY_PASSPHRASE" in quarry(tmp_path, "wallet", "import", key).stderr
    assert quarry(tmp_path, "wallet", "import", key, QUARRY_PASSPHRASE="wrong").returncode == 1
    result = quarry(tmp_path, "wallet", "import", key, "--json", QUARRY_PASSPHRASE="secret")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["name"] == "theirs"


def test_every_block_that_was_mined_is_shown_alike(tmp_path: Path) -> None:
    with launched(tmp_path, "--workers", "1", as_users_do=True, QUARRY_KERNEL="plain") as (_, ready):
        result = quarry(tmp_path, "mine", "6", "--json", "--url", ready["nodes"][0]["url"])
        assert result.returncode == 0, result.stderr
        blocks = json.loads(result.stdout)
        assert [block["index"] for block in blocks] == [2, 3, 4, 5, 6, 7]
        assert len({frozenset(block) for block in blocks}) == 1
