"""What `make test` leaves to `make test-heavy` is tested in short by `make test`, too."""

import ast
from collections.abc import Iterator
from pathlib import Path

from services.system.programs import ROOT

TIERS = {"heavy", "slow"}
# Files all of whose tests are heavy, and where `make test` tests the same in short.
LEFT = {
    "tests/browser/test_tutorial.py": "tests/integration/explorer/test_views.py",
    "tests/integration/development/test_going_back_live.py": "tests/integration/development/test_going_back.py",
    "tests/integration/launch/test_kills.py": "tests/integration/worker/test_life.py",
    "tests/integration/launch/test_stopping.py": "tests/integration/rpc/test_door_process.py",
}


def each_with_tiers(text: str) -> Iterator[tuple[str, set[str]]]:
    """Each test of a module, and the tiers that it is marked with: itself, or by the module's `pytestmark`."""
    tree = ast.parse(text)
    whole = set()
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark":
            whole = marks(node.value)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            yield node.name, whole.union(*(marks(decorator) for decorator in node.decorator_list))


def marks(code: ast.expr) -> set[str]:
    """The tiers that an expression names, also one for some parameters: those without it stay in `make test`."""
    called = isinstance(code, ast.Call) and ast.unparse(code.func) == "pytest.mark.parametrize"
    found = set() if called else {node.attr for node in ast.walk(code) if isinstance(node, ast.Attribute)}
    return found & TIERS


def wholly_heavy(files: dict[str, str]) -> set[str]:
    """Of test files and their texts: those that have heavy tests, and none that `make test` runs."""
    found = set()
    for name, text in files.items():
        tiers = [tier for _, tier in each_with_tiers(text)]
        if any("heavy" in tier for tier in tiers) and all(tiers):
            found.add(name)
    return found


def files() -> dict[str, str]:
    paths = sorted(Path(ROOT, "tests").rglob("test_*.py"))
    return {path.relative_to(ROOT).as_posix(): path.read_text() for path in paths if "node_modules" not in path.parts}


def test_what_is_heavy_has_a_short_test_beside_it() -> None:
    assert wholly_heavy(files()) == LEFT.keys(), "leave one test of each file in `make test`, or say here where it is"


def test_the_short_tests_elsewhere_are_in_make_test() -> None:
    texts = files()
    for name in LEFT.values():
        assert not all(tier for _, tier in each_with_tiers(texts[name])), name


def test_a_file_without_a_short_test_would_be_found() -> None:
    heavy = "@pytest.mark.heavy\ndef test_a(): ...\n"
    assert wholly_heavy({"a": heavy, "b": heavy + "def test_b(): ...\n", "c": "def test_c(): ...\n"}) == {"a"}
    assert wholly_heavy({"a": "pytestmark = pytest.mark.heavy\ndef test_a(): ...\n"}) == {"a"}
    some = "@pytest.mark.parametrize('n', [1, pytest.param(9, marks=pytest.mark.heavy)])\ndef test_a(n): ...\n"
    assert wholly_heavy({"a": some}) == set()


def test_ci_runs_what_make_test_leaves() -> None:
    """Both targets together are every test that is not slow, and `.ci/run` calls both."""
    makefile, ci = Path(ROOT, "Makefile").read_text(), Path(ROOT, ".ci/run").read_text()
    assert '-m "not slow and not heavy"' in makefile and '-m "heavy and not slow"' in makefile
    assert "make test\n" in ci and "make test-heavy\n" in ci
