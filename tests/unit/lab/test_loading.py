"""Scenarios and strategies as files: what is no scenario is refused in one sentence."""

from pathlib import Path

import pytest

from lab.interface import LabError
from lab.loading import built_in, load_scenario, load_strategy, read_parameters
from tests.support.fake_lab import FakeLab

GOOD = '''"""Two nodes and a cable.

More about it.
"""

FIDELITY = "tree"
SPEC_CHANGES = {"block_interval": 1}


def run(lab, *, nodes: int = 2, delay: float = 0.5, name: str = "x", on: bool = False):
    lab.check("nothing", True)
'''
STRATEGY = """
class Mine:
    name = "mine"

    def on_found(self, view):
        return None

    def on_heard(self, view):
        return None
"""


@pytest.fixture
def write(tmp_path: Path):  # type: ignore[no-untyped-def]
    def write_file(text: str, name: str = "own.py") -> str:
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return write_file


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("partition", "blocks=0"), ("partition", "left=0"), ("crash", "blocks=0"), ("liar", "blocks=0"),
        ("double_spend", "z=0"), ("latency", "interval=0"), ("latency", "blocks=-1"), ("timewarp", "blocks=0"),
        ("selfish", "blocks=0"), ("majority", "depth=-1"),
    ],
)  # fmt: skip
def test_a_parameter_with_which_a_claim_is_about_nothing_is_refused(name: str, setting: str) -> None:
    scenario = load_scenario(name)
    given = read_parameters(scenario, [setting])
    lab = FakeLab(scenario.nodes(given))
    with pytest.raises(LabError, match=f"{setting.partition('=')[0]} is at least"):
        scenario.run(lab, **{**scenario.parameters, **given})
    assert lab.calls == [] and lab.observations == []


def test_a_file_is_a_scenario(write) -> None:  # type: ignore[no-untyped-def]
    scenario = load_scenario(write(GOOD))
    assert (scenario.name, scenario.summary, scenario.fidelity) == ("own", "Two nodes and a cable.", "tree")
    assert scenario.parameters == {"nodes": 2, "delay": 0.5, "name": "x", "on": False}
    assert scenario.spec_changes == {"block_interval": 1}
    assert scenario.nodes({}) == 2 and scenario.nodes({"nodes": 7}) == 7


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def run(lab:\n", "own.py, line 1: "),
        ("x = 1\n", r"no function run\(lab\)"),
        ("run = 5\n", r"no function run\(lab\)"),
        ("def run(): pass\n", "must take the lab"),
        ("def run(*, lab): pass\n", "must take the lab"),
        ("def run(lab, nodes): pass\n", "nodes of run needs a default"),
        ("def run(lab, *, nodes=None): pass\n", "nodes of run needs a default"),
        ("FIDELITY = 'fine'\ndef run(lab): pass\n", "FIDELITY is full or tree"),
        ("SPEC_CHANGES = 3\ndef run(lab): pass\n", "SPEC_CHANGES is a dict"),
        ("import nowhere_to_be_found\n", r"ModuleNotFoundError: .*\(line 1\)"),
        ("\n\n1 / 0\n", r"ZeroDivisionError: division by zero \(line 3\)"),
        ("import sys\nsys.exit(0)\n", r"own.py cannot be loaded: SystemExit: 0 \(line 2\)"),
        ("x = '\0'\n", "own.py(, line 1)?: source code .*null bytes"),
    ],
)
def test_a_file_that_is_no_scenario_is_refused(write, text: str, said: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(LabError, match=said) as caught:
        load_scenario(write(text))
    assert "\n" not in str(caught.value)


def test_names_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="There is no scenario 'nonsense'"):
        load_scenario("nonsense")
    with pytest.raises(LabError, match="There is no file"):
        load_scenario(str(tmp_path / "none.py"))
    with pytest.raises(LabError, match="is not a file"):
        load_scenario(f"{tmp_path}/")


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("nodes", "write name=value"),
        ("nodez=3", "has no parameter 'nodez'. It has: nodes=2, delay=0.5"),
        ("nodes=3.5", "nodes is a whole number, not '3.5'"),
        ("nodes=", "nodes is a whole number"),
        ("delay=fast", "delay is a number"),
        ("delay=inf", "delay is a number"),
        ("delay=nan", "delay is a number"),
        ("on=perhaps", "on is true or false"),
        ("nodes=0", "1 to 64 nodes, not 0"),
        ("nodes=65", "1 to 64 nodes, not 65"),
    ],
)
def test_parameters_that_do_not_fit_are_refused(write, setting: str, said: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(LabError, match=said):
        read_parameters(load_scenario(write(GOOD)), [setting])


def test_parameters_have_the_types_of_their_defaults(write) -> None:  # type: ignore[no-untyped-def]
    given = read_parameters(load_scenario(write(GOOD)), ["nodes=5", "delay=2", "name=a=b", "on=True"])
    assert given == {"nodes": 5, "delay": 2.0, "name": "a=b", "on": True}


def test_a_strategy_is_the_one_class_of_its_file(write) -> None:  # type: ignore[no-untyped-def]
    assert load_strategy(write(STRATEGY))().name == "mine"
    with pytest.raises(LabError, match="it has 2"):
        load_strategy(write(STRATEGY + STRATEGY.replace("Mine", "Other")))
    with pytest.raises(LabError, match="it has none"):
        load_strategy(write("x = 1\n"))
    with pytest.raises(LabError, match="needs a name"):
        load_strategy(write(STRATEGY.replace('name = "mine"', "pass")))
    with pytest.raises(LabError, match=r"Mine\(\) failed: RuntimeError: no"):
        load_strategy(write(STRATEGY + "\n    def __init__(self):\n        raise RuntimeError('no')\n"))


def test_every_built_in_scenario_loads_and_tells_what_it_shows() -> None:
    for name in built_in():
        scenario = load_scenario(name)
        assert scenario.summary.endswith(".") and len(scenario.summary) <= 100, name
        assert len(scenario.text.splitlines()) > 3, f"{name} is read by learners before anything else"
