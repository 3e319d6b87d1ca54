"""Settings: given values are used, others have their defaults, and impossible ones are refused by name."""

from pathlib import Path

import pytest

from services.errors import BadSettings
from services.settings.table import BUILT_IN_SPECS, CLIENT_VARIABLES, VARIABLES, load, load_spec

ADDRESS = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
OWN_SPEC = 'name = "own"\nchain_id = 4244\ngenesis_timestamp = 1750000000\n'


def refusal(**variables: str) -> str:
    with pytest.raises(BadSettings) as caught:
        load({f"QUARRY_{name.upper()}": value for name, value in variables.items()})
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_defaults_are_a_development_node_on_loopback() -> None:
    settings = load({})
    assert (settings.node, settings.spec.name, settings.host, settings.port) == ("node1", "dev", "127.0.0.1", 5000)
    assert settings.loopback
    assert settings.broker_url == settings.redis_url == "redis://127.0.0.1:6379/0"
    assert (settings.min_fee, settings.nonces_ahead) == (0, 1024)
    assert settings.durability == "always"
    assert (settings.peers, settings.allowed_hosts, settings.cors_origins) == ((), (), ())
    assert settings.admin_token_file is None and not settings.automine
    assert settings.data_dir == Path.home() / ".quarry"


def test_a_network_asks_fees_and_a_smaller_window() -> None:
    settings = load({"QUARRY_SPEC": "network"})
    assert (settings.min_fee, settings.nonces_ahead) == (10**14, 64)
    assert settings.max_mempool == 20_000
    assert (settings.expiry_seconds, settings.record_seconds, settings.max_records) == (86_400, 604_800, 100_000)


def test_what_is_given_is_taken() -> None:
    settings = load(
        {
            "QUARRY_NODE": "node-7",
            "QUARRY_REDIS_URL": "redis://chain:1/0",
            "QUARRY_BROKER_URL": "redis://broker:2/0",
            "QUARRY_REWARD_ADDRESS": ADDRESS.lower(),
            "QUARRY_ADMIN_TOKEN_FILE": "/run/token",
            "QUARRY_AUTOMINE": "true",
            "QUARRY_MIN_FEE": "0.25",
            "QUARRY_NONCES_AHEAD": "7",
            "QUARRY_LINGER": "0.5",
            "QUARRY_WORKER_NAME": "miner",
            "QUARRY_HASH_RATE": "1.5 MH/s",
            "QUARRY_PEERS": "http://a:5000, http://b:5000,",
            "QUARRY_DATA_DIR": "~/elsewhere",
        }
    )
    assert (settings.redis_url, settings.broker_url) == ("redis://chain:1/0", "redis://broker:2/0")
    assert settings.reward_address == ADDRESS  # in its normal form
    assert settings.admin_token_file == Path("/run/token")
    assert (settings.node, settings.automine, settings.linger) == ("node-7", True, 0.5)
    assert settings.worker_name == "miner"
    assert settings.hash_rate == 1_500_000
    assert (settings.min_fee, settings.nonces_ahead) == (25 * 10**16, 7)
    assert settings.peers == ("http://a:5000", "http://b:5000")
    assert settings.data_dir == Path.home() / "elsewhere"


def test_an_empty_variable_is_none() -> None:
    """Compose files and unit files often pass variables on that are empty."""
    assert load(dict.fromkeys(VARIABLES, "")) == load({})


def test_other_variables_are_none_of_its_business() -> None:
    assert load({**dict.fromkeys(CLIENT_VARIABLES, "x"), "PATH": "/bin", "quarry_port": "1"}) == load({})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", "65536"), ("port", "-1"), ("port", "http"), ("port", "1.5"),
        ("node", "Node"), ("node", "a" * 33), ("node", "a{b}"), ("node", "a\n"),
        ("mine_wait", "61"), ("mine_wait", "-0.1"), ("linger", "soon"), ("linger", "nan"),
        ("automine", "perhaps"), ("kernel", "gpu"), ("durability", "sometimes"), ("log_level", "loud"),
        ("max_mempool", "0"), ("max_mine_requests", "0"), ("max_body", "100"), ("api_threads", "1"),
        ("nonces_ahead", "0"), ("hash_rate", "0"), ("hash_rate", "fast"), ("hash_rate", "2MB"), ("hash_rate", "0.5"),
        ("prot", "5000"),
    ],
)  # fmt: skip
def test_an_impossible_value_is_refused_by_the_name_of_its_variable(name: str, value: str) -> None:
    assert refusal(**{name: value}).startswith(f"QUARRY_{name.upper()}: ")


@pytest.mark.parametrize("fee", ["1e5", "-1", "01", "0.0000000000000000001", "\N{ARABIC-INDIC DIGIT ONE}"])
def test_a_minimum_fee_is_an_amount(fee: str) -> None:
    assert "QUARRY_MIN_FEE" in refusal(min_fee=fee)


@pytest.mark.parametrize("digits", ["0", "5eed"])
def test_rewards_go_to_somebody(digits: str) -> None:
    # The zero address and the token's have no key, and no node accepts such blocks.
    address = "0x" + digits.rjust(40, "0")
    message = refusal(reward_address=address)
    assert message.startswith("QUARRY_REWARD_ADDRESS must not be the ") and "nobody has its key" in message
    assert refusal(reward_address=address, spec="network").startswith("QUARRY_REWARD_ADDRESS must not be the ")
    load({"QUARRY_REWARD_ADDRESS": address, "QUARRY_SPEC": "tutorial"})  # there anything is a recipient


def test_an_address_needs_its_checksum() -> None:
    assert "QUARRY_REWARD_ADDRESS" in refusal(reward_address=ADDRESS.replace("f39F", "F39F"))


@pytest.mark.parametrize("spec", [spec for spec in BUILT_IN_SPECS if spec != "network"])
@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.7", "example.com"])
def test_a_development_chain_is_not_bound_to_the_world(spec: str, host: str) -> None:
    assert "--unsafe-development" in refusal(spec=spec, host=host)
    assert not load({"QUARRY_SPEC": spec, "QUARRY_HOST": host, "QUARRY_UNSAFE_DEVELOPMENT": "1"}).loopback
    assert load({"QUARRY_SPEC": "network", "QUARRY_HOST": host}).host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_loopback_has_many_names(host: str) -> None:
    assert load({"QUARRY_HOST": host}).loopback


def test_free_transactions_are_for_development() -> None:
    assert "QUARRY_MIN_FEE" in refusal(spec="network", min_fee="0")


def test_a_spec_comes_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(OWN_SPEC)
    settings = load({"QUARRY_SPEC": str(path)})
    assert (settings.spec.name, settings.spec.chain_id, settings.min_fee) == ("own", 4244, 10**14)


def test_a_spec_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    assert "is neither" in refusal(spec=str(path))
    for text in ("name = ", OWN_SPEC + "colour = 1\n", OWN_SPEC.replace("4244", "0")):
        path.write_text(text)
        assert str(path) in refusal(spec=str(path))
    path.write_bytes(b"\xff\xfe")
    assert str(path) in refusal(spec=str(path))


@pytest.mark.parametrize("name", BUILT_IN_SPECS)
def test_another_spec_cannot_take_a_built_in_chain_id(tmp_path: Path, name: str) -> None:
    chain_id = load_spec(name).chain_id
    path = tmp_path / "own.toml"
    path.write_text(OWN_SPEC.replace("4244", str(chain_id)))
    assert name in refusal(spec=str(path))


@pytest.mark.parametrize("host", ["localhost.example.com", "127.example.com", "0.0.0.0", "192.168.1.1"])
def test_a_name_that_looks_like_loopback_is_not(host):
    with pytest.raises(BadSettings, match="development"):
        load({"QUARRY_HOST": host, "QUARRY_SPEC": "dev"})


def test_a_timer_needs_constant_difficulty_and_mining_without_end_needs_the_other() -> None:
    assert "block_interval = 0" in refusal(spec="network", block_time="2")
    assert "QUARRY_BLOCK_TIME" in refusal(spec="dev", mine="always")
    assert load({"QUARRY_BLOCK_TIME": "0.5"}).block_time == 0.5
    assert load({"QUARRY_SPEC": "network", "QUARRY_MINE": "ALWAYS"}).mine == "always"
    for text in ("0.05", "86401", "-1", "2s", "1e3", "inf"):
        assert "QUARRY_BLOCK_TIME" in refusal(block_time=text)
    assert "asked, always" in refusal(mine="never")
