"""The funded accounts of development chains. Their keys are public: never use them elsewhere.

Without another phrase they are the first ten of `PHRASE` at m/44'/60'/0'/0/0…9, as in anvil and hardhat, so that
wallets and scripts for those work here.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice, takewhile
from pathlib import Path

from services.errors import BadSettings
from services.settings.table import Settings
from services.settings.values import named
from services.system.text_files import plain_text, read_small

PHRASE = "test test test test test test test test test test test junk"
DERIVATION_PATH = "m/44'/60'/0'/0/"  # and the index, as anvil writes it
MOST_ACCOUNTS = 1000
_VARIABLE = "QUARRY_DEVELOPMENT_MNEMONIC_FILE"
_MAX_PHRASE_FILE = 4096  # bytes


@dataclass(frozen=True, slots=True)
class DevelopmentAccount:
    """An Ethereum account whose key is public."""

    address: str  # EIP-55
    private_key: str  # 0x and 64 hex digits


def accounts_of(settings: Settings) -> tuple[DevelopmentAccount, ...]:
    """The development accounts of a node, none if its chain is not for development.

    They are the phrase's accounts in QUARRY_DEVELOPMENT_MNEMONIC_FILE, from the first on, as long as the chain spec
    gives them coins; without such a file, the ten of `ACCOUNTS`. The file is read once a process.

    Raises:
        BadSettings: the file cannot be used, others can read it, or its first account has no coins.
    """
    if not settings.spec.development:
        return ()
    file = settings.development_mnemonic_file
    if file is None:
        return ACCOUNTS
    allocated = settings.spec.allocations
    derived = _derived_from(file, min(len(allocated), MOST_ACCOUNTS))
    found = tuple(takewhile(lambda account: account.address in allocated, derived))
    if not found:
        raise BadSettings(f"{_VARIABLE}: the chain spec {settings.spec.name} gives its first account no coins.")
    return found


def funded(settings: Settings) -> tuple[DevelopmentAccount, ...]:
    """The development accounts of a node to which its chain spec gives coins. Raises as `accounts_of`."""
    return tuple(account for account in accounts_of(settings) if account.address in settings.spec.allocations)


def faucet_account(settings: Settings) -> DevelopmentAccount | None:
    """The account that the faucet of a node pays from, or None: the first development account, if only this machine can
    reach the node. Raises as `accounts_of`.

    Elsewhere the coins may be worth something, or strangers could empty the account.
    """
    if not settings.spec.development or not settings.loopback:
        return None
    first = accounts_of(settings)[0]
    return first if first.address in settings.spec.allocations else None


def phrase_of(settings: Settings) -> str:
    """The phrase of the development accounts; "" if the chain is not for development.

    Raises:
        BadSettings: as `kept_phrase`.
    """
    return kept_phrase(settings) or (PHRASE if settings.spec.development else "")


def kept_phrase(settings: Settings) -> str:
    """The phrase in the file of QUARRY_DEVELOPMENT_MNEMONIC_FILE; "" if there is none.

    Raises:
        BadSettings: the file cannot be used.
    """
    from services.wallet.phrases import BadPhrase

    file = settings.development_mnemonic_file
    try:
        return "" if file is None else named(_VARIABLE, read_phrase, file)
    except BadPhrase as error:
        raise BadSettings(f"{_VARIABLE}: {error}") from None


def read_phrase(file: Path) -> str:
    """The recovery phrase in a file that only its owner can read.

    Raises:
        BadTextFile: the file cannot be used. BadPhrase: it holds no phrase.
    """
    from services.wallet import phrases  # its word list takes milliseconds to load, and most processes need none

    content = read_small(file, limit=_MAX_PHRASE_FILE, private=True, pipes=False)
    return phrases.normal(plain_text(content, str(file)).decode())


def derived(phrase: str, number: int) -> tuple[DevelopmentAccount, ...]:
    """The first `number` accounts of a phrase.

    Raises:
        BadPhrase: the words are no phrase.
    """
    from services.wallet import phrases

    return tuple(islice(_accounts(phrases.private_keys(phrase)), number))


def _accounts(keys: Iterable[bytes]) -> Iterator[DevelopmentAccount]:
    from shared.ethereum import address_of_private_key

    for key in keys:
        yield DevelopmentAccount(address_of_private_key(key), f"0x{key.hex()}")


@lru_cache(maxsize=4)
def _derived_from(file: Path, number: int) -> tuple[DevelopmentAccount, ...]:
    from services.wallet.phrases import BadPhrase

    try:
        return derived(named(_VARIABLE, read_phrase, file), number)
    except BadPhrase as error:
        raise BadSettings(f"{_VARIABLE}: {error}") from None


ACCOUNTS = tuple(
    DevelopmentAccount(address, f"0x{private_key}")
    for address, private_key in (
        (
            "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266",
            "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
        ),
        (
            "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
            "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
        ),
        (
            "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC",
            "5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
        ),
        (
            "0x90F79bf6EB2c4f870365E785982E1f101E93b906",
            "7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6",
        ),
        (
            "0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65",
            "47e179ec197488593b187f80a00eb0da91f1b9d0b13f8733639f19c30a34926a",
        ),
        (
            "0x9965507D1a55bcC2695C58ba16FB37d819B0A4dc",
            "8b3a350cf5c34c9194ca85829a2df0ec3153be0318b5e2d3348e872092edffba",
        ),
        (
            "0x976EA74026E726554dB657fA54763abd0C3a0aa9",
            "92db14e403b83dfe3df233f83dfa3a0d7096f21ca9b0d6d6b8d88b2b4ec1564e",
        ),
        (
            "0x14dC79964da2C08b23698B3D3cc7Ca32193d9955",
            "4bbbf85ce3377467afe5d46f804f221813b2bb87f24d81f60f1fcdbf7cbf4356",
        ),
        (
            "0x23618e81E3f5cdF7f54C3d65f7FBc0aBf5B21E8f",
            "dbda1821b80551c9d65939329250298aa3472ba22feea921c0cf5d620ea67b97",
        ),
        (
            "0xa0Ee7A142d267C1f36714E4a8F75612F20a79720",
            "2a871d0798f97d79848a013d4936a73bf4cc922c825d33c1cf7073dff6d409c6",
        ),
    )
)
