"""The development accounts: those of anvil, or those of a phrase in a file."""

from pathlib import Path

import pytest

from services.errors import BadSettings
from services.settings.table import Settings, load
from services.wallet.development import ACCOUNTS, PHRASE, accounts_of, derived
from services.wallet.phrases import BadPhrase
from tests.support.specs import mined_spec, write_spec

OTHER = "legal winner thank year wave sausage worth useful legal winner thank yellow"


def settings(directory: Path, words: str, allocated: int = 3, *, mode: int = 0o600, phrase: str = "") -> Settings:
    """Of a chain that gives coins to `allocated` accounts of `phrase`, else of `words`."""
    file = directory / "mnemonic"
    file.write_text(words)
    file.chmod(mode)
    addresses = [account.address for account in derived(phrase or words, allocated)]
    spec = write_spec(directory / "spec.toml", mined_spec(allocations=dict.fromkeys(addresses, "10")))
    return load({"QUARRY_SPEC": str(spec), "QUARRY_DEVELOPMENT_MNEMONIC_FILE": str(file)})


def test_the_well_known_phrase_gives_the_well_known_accounts() -> None:
    assert derived(PHRASE, 10) == ACCOUNTS


def test_a_long_list_is_derived_at_once() -> None:
    found = derived(OTHER, 1000)
    assert len({account.address for account in found}) == 1000
    assert found[:3] == derived(OTHER, 3)


def test_without_a_file_they_are_those_of_anvil_and_only_on_development_chains() -> None:
    assert accounts_of(load({})) == ACCOUNTS
    assert accounts_of(load({"QUARRY_SPEC": "network"})) == ()


def test_a_file_names_those_that_have_coins(tmp_path: Path) -> None:
    assert accounts_of(settings(tmp_path, OTHER)) == derived(OTHER, 3)


def test_blanks_and_capitals_do_not_matter(tmp_path: Path) -> None:
    known = settings(tmp_path, f"\ufeff  {OTHER.upper()}\r\n", phrase=OTHER)
    assert accounts_of(known)[0] == derived(OTHER, 1)[0]


@pytest.mark.parametrize(
    ("words", "mode", "said"),
    [(OTHER, 0o644, "can be read by others"), (OTHER + " yellow", 0o600, "has 12, 15"), ("", 0o600, "has 12, 15"),
     (OTHER.replace("thank", "thanks"), 0o600, "mistyped"), (PHRASE, 0o600, "gives its first account no coins")],
)  # fmt: skip
def test_a_file_that_will_not_do_is_named_by_its_setting(tmp_path: Path, words: str, mode: int, said: str) -> None:
    known = settings(tmp_path, words, mode=mode, phrase=OTHER)
    with pytest.raises(BadSettings, match=f"QUARRY_DEVELOPMENT_MNEMONIC_FILE: .*{said}") as caught:
        accounts_of(known)
    assert "legal" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="does not exist"):
        accounts_of(load({"QUARRY_DEVELOPMENT_MNEMONIC_FILE": str(tmp_path / "none")}))


def test_other_chains_have_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="not for development"):
        load({"QUARRY_SPEC": "network", "QUARRY_DEVELOPMENT_MNEMONIC_FILE": str(tmp_path / "phrase")})


def test_words_that_are_no_phrase_give_no_account() -> None:
    with pytest.raises(BadPhrase):
        derived("test " * 12, 1)
