"""Which kernel a worker gets, also when Numba, its cache or its compiled code cannot be used."""

import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from services.system.programs import ROOT
from worker.kernel import choose

START = """
from worker.kernel import choose
kernel = choose("auto")
print(kernel.name, kernel.scan(b"100", 65536, 0, 100000), kernel.note, sep="|")
"""
# How many functions it loaded from the cache.
LOADED = "print(sum(kernel._compiled.stats.cache_hits.values()))"


def start_worker(environment: Mapping[str, str], and_then: str = "") -> subprocess.Popen[str]:
    """A process that chooses a kernel as a worker does, with no other environment than this."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", START + and_then],
        cwd=ROOT,
        env=dict(environment),
        stdout=subprocess.PIPE,
        text=True,
    )


def outcome(worker: subprocess.Popen[str]) -> list[str]:
    try:
        output, _ = worker.communicate(timeout=100)
    except subprocess.TimeoutExpired:
        worker.kill()
        worker.communicate()
        raise
    assert worker.returncode == 0
    return output.strip().split("|")


def test_importing_the_package_does_not_import_numba() -> None:
    code = "import sys, worker.kernel as k; k.choose('plain'); assert not {'numba', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_plain_is_had_for_the_asking() -> None:
    kernel = choose("plain")
    assert (kernel.name, kernel.note) == ("plain", "chosen by setting")


def test_an_unknown_preference_is_refused() -> None:
    with pytest.raises(ValueError, match="auto, plain or fast"):
        choose("fastest")


def test_without_numba_auto_is_plain_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.delitem(sys.modules, "worker.kernel.scan", raising=False)
    monkeypatch.delitem(sys.modules, "worker.kernel.sha256", raising=False)
    kernel = choose("auto")
    assert kernel.name == "plain"
    assert "extra `fast`" in kernel.note
    with pytest.raises(ImportError):
        choose("fast")


def test_numba_switched_off_is_plain_and_says_so() -> None:
    pytest.importorskip("numba", reason="needs the extra `fast`")
    name, proof, note = outcome(start_worker({"NUMBA_DISABLE_JIT": "1"}))
    assert (name, proof) == ("plain", "35293")
    assert "NUMBA_DISABLE_JIT" in note


def test_wrong_code_is_never_used(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numba", reason="needs the extra `fast`")
    from worker.kernel import scan

    # Compiled code that misses every proof, as a miscompilation or an outdated cache might.
    monkeypatch.setattr("numba.njit", lambda **_: lambda _: lambda *arguments: arguments[-1])
    kernel = choose("auto")
    assert kernel.name == "plain"
    assert "does not agree with hashlib" in kernel.note
    with pytest.raises(scan.KernelUnusable):
        choose("fast").warm_up()


@pytest.mark.parametrize("prefix", [b"a" * 64, b"", b"100", b"9007199254740991", b"a" * 103])
def test_fast_leaves_nothing_of_four_digits_and_more_to_plain(prefix: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numba", reason="needs the extra `fast`")
    from worker.kernel import scan

    class NeverAsked:
        def scan(self, prefix: bytes, difficulty: int, start: int, stop: int) -> int | None:
            raise AssertionError("the fast kernel would be no faster than the plain one here")

    kernel = choose("fast")
    kernel.warm_up()
    monkeypatch.setattr(scan, "PLAIN", NeverAsked())
    assert kernel.scan(prefix, 2**100, 1_000, 300_000) is None
    assert kernel.scan(prefix, 2**100, 10**15 - 7, 10**15 + 7) is None
    with pytest.raises(AssertionError):
        kernel.scan(prefix, 2**100, 999, 1_000)


def test_of_two_first_starts_one_compiles_and_a_damaged_cache_is_survived(tmp_path: Path) -> None:
    pytest.importorskip("numba", reason="needs the extra `fast`")
    environment = {"NUMBA_CACHE_DIR": str(tmp_path)}
    loaded = []
    for worker in [start_worker(environment, LOADED), start_worker(environment, LOADED)]:
        name, proof, note_and_loaded = outcome(worker)
        note, count = note_and_loaded.split("\n")
        assert (name, proof) == ("fast", "35293")
        assert "cache" not in note
        loaded.append(int(count))
    assert sorted(loaded) == [0, 1]  # while one compiles, the other waits, and loads what it made
    code = list(tmp_path.rglob("*.nbc"))
    assert code  # else the next start would prove nothing
    for file in code:
        file.write_bytes(file.read_bytes()[:1000])
    name, proof, note = outcome(start_worker(environment))
    assert (name, proof) == ("fast", "35293")
    assert "in memory because the cache failed" in note


def test_who_holds_the_lock_for_too_long_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numba", reason="needs the extra `fast`")
    from worker.kernel import scan

    monkeypatch.setattr(scan, "_is_cached", lambda: False)
    monkeypatch.setattr(scan, "_PATIENCE", 0.1)
    entered = 0
    with scan._one_at_a_time(), scan._one_at_a_time():
        entered += 1
    assert entered == 1


def test_a_scan_lets_other_threads_run() -> None:
    pytest.importorskip("numba", reason="needs the extra `fast`")
    kernel = choose("fast")
    kernel.warm_up()
    scan = threading.Thread(target=kernel.scan, args=(b"0" * 64, 2**200, 10**10, 10**10 + 40_000_000))
    begun = last = time.perf_counter()
    longest_wait = 0.0
    scan.start()
    while scan.is_alive():
        time.sleep(0.001)
        now = time.perf_counter()
        longest_wait, last = max(longest_wait, now - last), now
    assert longest_wait < (last - begun) / 2  # with the interpreter's lock held it would be all of it
