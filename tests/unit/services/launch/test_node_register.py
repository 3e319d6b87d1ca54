"""Finding nodes of this user by what each has left in the system's temporary directory."""

import os
from pathlib import Path

import pytest

from api.cli.options import connect, running_node
from services.launch import node_register
from tests.support.cli import refused, run
from tests.support.fake_node import make_node

URL = "http://127.0.0.1:4321"


@pytest.fixture(autouse=True)
def register(own_environment: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "register"
    monkeypatch.setattr(node_register, "directory", lambda: directory)
    return directory


def test_a_node_in_another_data_directory_is_found_by_its_address(tmp_path: Path) -> None:
    files = make_node(tmp_path / "elsewhere", URL)
    assert running_node(URL) is None
    node_register.enter(files.record)
    found = running_node(URL)
    assert found is not None and found[0].directory == files.directory
    assert running_node() is None  # without an address, only the nodes of the data directory count
    client = connect("http://localhost:4321/")
    assert client.url == URL  # not at localhost: that name may lead to another program
    assert client._headers["Authorization"] == f"Bearer {files.admin_token.read_text().strip()}"


def test_the_key_of_that_node_is_its_wallet(tmp_path: Path) -> None:
    from services.wallet import keyring

    files = make_node(tmp_path / "elsewhere", URL)
    node_register.enter(files.record)
    from api.cli.wallet import wallet_store

    assert wallet_store.address("node", URL) == keyring.address_of(files.directory)
    assert wallet_store.node_names(URL) == ["node"]
    refused(run("wallet", "show", "node"), 1, "No node runs on this machine")


def test_a_node_that_has_left_or_died_is_not_found(tmp_path: Path, register: Path) -> None:
    files = make_node(tmp_path / "one", URL)
    node_register.enter(files.record)
    node_register.leave(files.record)
    assert node_register.nodes() == [] and not register.exists()
    dead = make_node(tmp_path / "two", URL, started="long ago")
    node_register.enter(dead.record)
    assert node_register.nodes() == []
    node_register.enter(files.record)  # which also forgets the dead one
    assert len(list(register.iterdir())) == 1


@pytest.mark.parametrize("content", [b"", b"/nowhere/at/all/node.json", b"\0\xff" * 9000, b"node.json\n"])
def test_what_is_no_path_of_a_record_is_passed_over(register: Path, content: bytes, tmp_path: Path) -> None:
    node_register.enter(make_node(tmp_path / "one", URL).record)
    (register / "other.node").write_bytes(content)
    assert [record.url for _, record in node_register.nodes()] == [URL]


def test_a_record_that_others_could_have_written_is_not_believed(tmp_path: Path) -> None:
    files = make_node(tmp_path / "one", URL)
    node_register.enter(files.record)
    files.record.chmod(0o666)
    assert node_register.nodes() == []


def test_a_register_that_others_can_write_to_is_not_read_and_not_written(tmp_path: Path, register: Path) -> None:
    files = make_node(tmp_path / "one", URL)
    node_register.enter(files.record)
    register.chmod(0o777)
    assert node_register.nodes() == []
    node_register.enter(make_node(tmp_path / "two", URL).record)
    assert len(list(register.iterdir())) == 1
    register.chmod(0o700)
    register.rename(tmp_path / "moved")
    os.symlink(tmp_path / "moved", register)  # as somebody else could have made in a shared directory
    assert node_register.nodes() == []


def test_a_temporary_directory_that_refuses_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(node_register, "directory", lambda: tmp_path / "file" / "below")
    node_register.enter(make_node(tmp_path / "one", URL).record)
    assert node_register.nodes() == []
