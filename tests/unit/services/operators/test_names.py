"""Names of addresses: which are allowed, where they come from, and that no two addresses share one."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest
from fakeredis import FakeRedis, FakeServer

from services.errors import PolicyError
from services.operators import names as module
from services.operators.names import LONGEST, Names, check_name, compared_form
from services.settings.table import Settings, load
from services.store.keys import Keys
from services.store.names import NameStore
from services.wallet import keyring
from services.wallet.development import ACCOUNTS
from shared.errors import InputError
from tests.support.keys import ALICE, BOB, CAROL, DAVE

SETTINGS = load({})


def names_of(redis: FakeRedis, settings: Settings = SETTINGS, *, accounts: bool = True) -> Names:
    return Names(NameStore(redis, Keys("node1")), settings, accounts=accounts)


@pytest.fixture
def redis() -> FakeRedis:
    return FakeRedis()


# --- which names are allowed ---


@pytest.mark.parametrize(
    "name",
    ["a", "alice", "the bakery", "Böckerei", "日本", "7 dwarfs", "x" * LONGEST, "<b>bold</b>", "O'Neill & Söhne", "🍞",
     "oxford", "Oxfam", "abcdefg", "deadbee", "%s{}${}", "../../etc"],
)  # fmt: skip
def test_a_name_that_is_allowed(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("", "1 to 40"), ("x" * 41, "at most 40"), ("x" * 10**6, "at most 40"), (" ", "blanks"), (" a", "blanks"),
        ("a ", "blanks"), ("a  b", "blanks"), ("a\nb", "visible"), ("a\tb", "visible"), ("a\x00", "visible"),
        ("\x1b[2J", "visible"), ("a\u202eb", "visible"), ("a\u200bb", "visible"), ("a\u00a0b", "visible"),
        ("\ufeff", "visible"), ("\u3164", "visible"), ("a\u2028b", "visible"), ("\ud800", "visible"),
        ("...", "letter"), ("\u0301", "letter"),
        ("0x", "address"), ("0x" + "a" * 10**6, "address"), ("0xabc", "address"),
        ("0X65D70318f8330032DcB41aF94e30Bb17f7769239", "address"),
        ("0x65D7…9239", "address"), ("Ox65D70318f8330032", "address"), ("\u041e\u042565d7", "address"),
        ("\uff10\uff5865d7", "address"), ("0xygen", "address"), ("0\u00d765D7", "address"),
        ("7", "height"), ("1,234", "height"), ("#7", "height"), ("latest", "height"), ("LATEST", "height"),
        ("\u0663", "height"), ("deadbeef", "hash"), ("0000a889602161b24710", "hash"), ("f04b7105…aafcd3", "hash"),
        ("\uff44\uff45adbeef", "hash"),
    ],
)  # fmt: skip
def test_a_name_that_is_refused(name: str, says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        check_name(name)
    assert caught.value.code == "bad_name" and caught.value.field == "name"


@pytest.mark.parametrize("name", [None, 7, 1.5, True, [], {}, ["alice"], b"alice"])
def test_a_name_is_text(name: object) -> None:
    with pytest.raises(InputError, match="is text"):
        check_name(name)


def test_names_are_compared_as_readers_do() -> None:
    assert len({compared_form(name) for name in ("ALICE", "alice", "\uff21lice", "Alice")}) == 1
    assert compared_form("stra\u00dfe") == compared_form("STRASSE")
    assert check_name("e\u0301") == "\u00e9"


# --- where names come from ---


def test_a_node_its_accounts_and_its_faucet_have_names_by_themselves(redis: FakeRedis) -> None:
    found = names_of(redis, replace(SETTINGS, reward_address=ALICE.address)).all()
    assert len(found) == 11
    assert (found[ALICE.address].label, found[ALICE.address].kind) == ("node1", "node")
    assert [found[account.address].label for account in ACCOUNTS[:3]] == ["account0 (faucet)", "account1", "account2"]


def test_without_a_faucet_no_account_is_called_so(redis: FakeRedis) -> None:
    abroad = names_of(redis, replace(SETTINGS, host="0.0.0.0", unsafe_development=True))
    assert abroad.all()[ACCOUNTS[0].address].label == "account0"
    assert abroad.find("faucet") is None


@pytest.mark.parametrize("settings", [load({"QUARRY_SPEC": "network"}), SETTINGS])
def test_other_chains_have_no_development_accounts(redis: FakeRedis, settings: Settings) -> None:
    assert names_of(redis, settings, accounts=settings is not SETTINGS).all() == {}


def test_wallets_have_their_names(redis: FakeRedis, tmp_path: Path) -> None:
    keyring.create(tmp_path / "alice")
    names = names_of(redis, replace(SETTINGS, named_wallets=tmp_path))
    alice = keyring.address_of(tmp_path / "alice")
    assert (names.all()[alice].name, names.all()[alice].kind) == ("alice", "wallet")
    keyring.create_ethereum(tmp_path / "bob")
    assert names.find("BOB") == keyring.address_of(tmp_path / "bob")


def test_a_wallet_whose_name_another_address_has_is_shown_by_its_address(redis: FakeRedis, tmp_path: Path) -> None:
    keyring.create(tmp_path / "Account1")
    keyring.create(tmp_path / "bakery")
    names = names_of(redis, replace(SETTINGS, named_wallets=tmp_path))
    assert keyring.address_of(tmp_path / "Account1") not in names.all()
    with pytest.raises(PolicyError):
        names.give(ALICE.address, "Bakery")
    keyring.discard(tmp_path / "bakery")
    names.give(ALICE.address, "Bakery")
    keyring.create(tmp_path / "bakery")
    assert [item.address for item in names.all().values() if item.name.casefold() == "bakery"] == [ALICE.address]


# --- names that are kept ---


def test_names_are_read_again_only_after_a_change_by_whatever_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = FakeServer()
    one, other = (names_of(FakeRedis(server=server), replace(SETTINGS, named_wallets=tmp_path)) for _ in range(2))
    reads: list[None] = []
    read_all = NameStore.all
    monkeypatch.setattr(NameStore, "all", lambda self: (reads.append(None), read_all(self))[1])
    for _ in range(3):
        assert one.find("bakery") is None and ALICE.address not in one.all()
    assert len(reads) == 1
    other.give(ALICE.address, "bakery")
    assert one.all()[ALICE.address].name == "bakery" and one.find("bakery") == ALICE.address
    other.give(ALICE.address, "mill")
    assert one.all()[ALICE.address].name == "mill" and one.find("bakery") is None
    assert other.remove(ALICE.address) and not other.remove(ALICE.address)
    assert ALICE.address not in one.all() and one.find("mill") is None
    assert len(reads) == 4
    keyring.create(tmp_path / "carol")
    carol = keyring.address_of(tmp_path / "carol")
    assert one.find("carol") == carol and one.all()[carol].kind == "wallet"
    keyring.discard(tmp_path / "carol")
    assert one.find("carol") is None and carol not in one.all()


def test_names_of_a_store_that_was_emptied_are_forgotten() -> None:
    redis = FakeRedis()
    names = names_of(redis)
    names.give(ALICE.address, "bakery")
    assert names.find("bakery") == ALICE.address
    redis.flushall()
    assert names.find("bakery") is None
    names_of(redis).give(BOB.address, "bakery")
    assert names.find("bakery") == BOB.address and ALICE.address not in names.all()


# --- giving names ---


def test_a_given_name_comes_first_and_can_be_removed(redis: FakeRedis) -> None:
    names = names_of(redis, replace(SETTINGS, reward_address=ALICE.address))
    assert names.give(ALICE.address, "The Bakery").kind == "given"
    assert names.all()[ALICE.address].name == "The Bakery" and names.find("the bakery") == ALICE.address
    assert names.find("node1") == ALICE.address, "what it is called by itself is found too"
    names.give(ALICE.address, "the bakery")
    assert names.all()[ALICE.address].name == "the bakery", "the same name in another case"
    names.give(ALICE.address, "mill")
    assert names.find("the bakery") is None and names.find("x" * 10**6) is None
    names.give(BOB.address, "the bakery")
    assert names.remove(ALICE.address) and not names.remove(ALICE.address)
    assert names.all()[ALICE.address].name == "node1"
    names.give(CAROL.address, "mill")


def test_the_faucet_stays_the_faucet_whatever_it_is_called(redis: FakeRedis) -> None:
    names = names_of(redis)
    names.give(ACCOUNTS[0].address, "the well")
    assert names.all()[ACCOUNTS[0].address].label == "the well (faucet)"
    assert names.find("faucet") == names.find("account0") == ACCOUNTS[0].address


@pytest.mark.parametrize("name", ["node1", "NODE1", "account3", "faucet", "Faucet", "bob", "\uff42ob"])
def test_no_address_takes_the_name_of_another(redis: FakeRedis, name: str) -> None:
    names = names_of(redis, replace(SETTINGS, reward_address=ALICE.address))
    names.give(BOB.address, "bob")
    before = names.all()
    with pytest.raises(PolicyError, match=r"^0x[0-9a-fA-F]{40} has this name") as caught:
        names.give(DAVE.address, name)
    assert caught.value.code == "name_taken" and names.all() == before


def test_names_are_bounded_in_number(redis: FakeRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_GIVEN", 2)
    names = names_of(redis)
    names.give(ALICE.address, "a")
    names.give(BOB.address, "b")
    with pytest.raises(PolicyError) as caught:
        names.give(CAROL.address, "c")
    assert caught.value.code == "too_many_names"
    names.give(BOB.address, "b2")
    names.remove(ALICE.address)
    names.give(CAROL.address, "c")
    assert set(names.given()) == {BOB.address, CAROL.address}


def test_of_many_who_ask_for_one_name_at_once_one_gets_it() -> None:
    server, outcomes, barrier = FakeServer(), [], threading.Barrier(8)

    def ask(number: int) -> None:
        names = names_of(FakeRedis(server=server))
        barrier.wait(10)
        try:
            names.give(f"0x{number:040x}", "bakery")
            outcomes.append("given")
        except PolicyError as error:
            outcomes.append(error.code)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(outcomes) == ["given", *["name_taken"] * 7]
    assert len(names_of(FakeRedis(server=server)).given()) == 1
