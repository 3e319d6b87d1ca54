"""Chain specs that are made from the options of `quarry up`, and kept in files."""

import stat
from pathlib import Path

import pytest

from services.errors import BadSettings
from services.launch.made_chain import MadeFiles, Wish, differences, make
from services.settings.table import load, load_spec
from services.wallet.development import ACCOUNTS, PHRASE, accounts_of, derived
from shared.amounts import COIN, MAX_AMOUNT
from shared.chain_spec import read_spec
from shared.rules import rules_for

OTHER = "legal winner thank year wave sausage worth useful legal winner thank yellow"


def test_without_more_it_has_anvils_accounts_and_chain_id() -> None:
    made = make(Wish(accounts=10))
    assert (made.spec.chain_id, made.phrase, made.spec.development) == (31337, PHRASE, True)
    assert made.spec.allocations == {account.address: 10_000 * COIN for account in ACCOUNTS}


def test_every_option_has_its_effect() -> None:
    made = make(Wish(accounts=3, balance=COIN // 2, phrase=f" {OTHER.upper()} ", chain_id=1337))
    assert made.phrase == OTHER
    assert made.spec.chain_id == 1337
    assert made.spec.allocations == {account.address: COIN // 2 for account in derived(OTHER, 3)}


def test_equal_options_make_the_same_chain_and_others_another() -> None:
    wishes = (Wish(accounts=3), Wish(accounts=3), Wish(accounts=4), Wish(chain_id=3), Wish(balance=1))
    same, again, *others = (rules_for(make(wish).spec).genesis().hash for wish in wishes)
    assert same == again
    assert len({same, *others}) == 4


def test_a_random_phrase_is_another_each_time() -> None:
    first, second = (make(Wish(random_phrase=True)) for _ in range(2))
    assert first.phrase != second.phrase
    assert list(first.spec.allocations) == [account.address for account in derived(first.phrase, 10)]


def test_the_most_that_can_be_had() -> None:
    made = make(Wish(accounts=1000, balance=(MAX_AMOUNT - COIN) // 1000))
    assert len(made.spec.allocations) == 1000
    assert sum(made.spec.allocations.values()) + made.spec.reward <= MAX_AMOUNT


@pytest.mark.parametrize(
    ("wish", "said"),
    [(Wish(phrase="test " * 11 + "test"), "--mnemonic: .*mistyped"), (Wish(phrase="test junk"), "--mnemonic: .*12"),
     (Wish(phrase=""), "--mnemonic: .*12"),
     (Wish(chain_id=847731), "--chain-id: .*spec dev"), (Wish(chain_id=847732), "--chain-id: .*spec network"),
     (Wish(balance=MAX_AMOUNT), "--balance: .*2\\^256"), (Wish(2, (MAX_AMOUNT - COIN) // 2 + 1), "--balance: ")],
)  # fmt: skip
def test_what_cannot_be_made_is_said(wish: Wish, said: str) -> None:
    with pytest.raises(BadSettings, match=said) as caught:
        make(wish)
    assert wish.phrase is None or wish.phrase == "" or wish.phrase not in str(caught.value)


def test_it_is_kept_and_read_again(tmp_path: Path) -> None:
    files, made = MadeFiles(tmp_path / "deep" / "local"), make(Wish(accounts=2, balance=COIN // 4, phrase=OTHER))
    assert not files.exist()
    files.write(made)
    assert files.exist()
    assert files.read() == made
    assert read_spec(files.spec.read_text()).hash == made.spec.hash
    assert {stat.S_IMODE(path.stat().st_mode) for path in files.directory.iterdir()} == {0o600}


def test_a_node_finds_it_by_its_settings(tmp_path: Path) -> None:
    files = MadeFiles(tmp_path)
    files.write(make(Wish(accounts=3, phrase=OTHER)))
    settings = load({"QUARRY_SPEC": str(files.spec), "QUARRY_DEVELOPMENT_MNEMONIC_FILE": str(files.mnemonic)})
    assert settings.spec == load_spec(str(files.spec))
    assert accounts_of(settings) == derived(OTHER, 3)


@pytest.mark.parametrize("spoil", [Path.unlink, lambda path: path.write_text("no phrase")])
def test_a_kept_chain_without_its_phrase_is_refused(tmp_path: Path, spoil: object) -> None:
    files = MadeFiles(tmp_path)
    files.write(make(Wish()))
    assert callable(spoil)
    spoil(files.mnemonic)
    with pytest.raises(BadSettings, match="mnemonic"):
        files.read()


@pytest.mark.parametrize(
    ("wish", "found"),
    [(Wish(), []), (Wish(3, COIN, OTHER.title(), False, 5), []), (Wish(random_phrase=True), []),
     (Wish(accounts=4), ["--accounts 3"]), (Wish(balance=2 * COIN), ["--balance 1"]),
     (Wish(chain_id=6), ["--chain-id 5"]), (Wish(phrase=PHRASE), ["another phrase"]),
     (Wish(2, 1, PHRASE, False, 3), ["--accounts 3", "--balance 1", "--chain-id 5", "another phrase"])],
)  # fmt: skip
def test_options_are_compared_with_the_kept_chain(wish: Wish, found: list[str]) -> None:
    assert differences(wish, make(Wish(accounts=3, balance=COIN, phrase=OTHER, chain_id=5))) == found


def test_the_usual_phrase_is_not_a_random_one() -> None:
    assert differences(Wish(random_phrase=True), make(Wish())) == ["another phrase"]
