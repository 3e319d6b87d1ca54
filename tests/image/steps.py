"""The steps of the test, in order. Each prints what it measured; one that fails raises `Failed`."""

import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.image import base, checkout, edge
from tests.image.cluster import NODES, Cluster
from tests.image.engine import Engine, Failed

HEALTHY_SECONDS = 60.0  # budget from `up` until all containers are healthy, on a quiet machine
STOP_SECONDS = 10.0
_KEYS = ("private.key", "public.key", "certificate.pem", "admin-token")
_THIS = {
    "QUARRY_IMAGE": "quarry:local",
    "QUARRY_MINER_IMAGE": "quarry-miner:local",
    "EDGE_IMAGE": "quarry-edge:local",
}
_BEFORE = {"QUARRY_IMAGE": "quarry:before", "QUARRY_MINER_IMAGE": "quarry-miner:before"}


@dataclass
class Test:
    """One run of the test.

    Args:
        work: a new directory.
        cache: what debootstrap and pip fetched before.
        previous: the commit whose cluster is upgraded.
        ports: variables that name free ports of this machine.
    """

    engine: Engine
    work: Path
    cache: Path
    previous: str
    ports: dict[str, str]
    began: float = field(default_factory=time.monotonic)
    over: list[str] = field(default_factory=list)  # budgets that were not kept
    healthy: str = ""
    stopped: str = ""
    upgraded: bool = False
    exported: bytes = b""

    def say(self, text: str) -> None:
        print(f"[{time.monotonic() - self.began:5.1f} s] {text}", flush=True)

    def run(self) -> str:
        """All steps. Returns the last line.

        Raises:
            Skipped: the machine cannot do it.
            Failed: the cluster or an image is not as it should be.
        """
        steps: list[Callable[[], None]] = [
            self.make_the_base,
            self.build_images,
            self.start_the_previous_commit,
            self.upgrade,
            self.look_at_the_containers,
            self.pass_the_edge,
            self.kill_every_program,
            self.scale_the_miners,
            self.stop_and_start,
            self.lose_everything_and_restore,
            self.stop_for_good,
        ]
        seconds: list[str] = []
        for step in steps:
            name, began = step.__name__.replace("_", " "), time.monotonic()
            self.say(name)
            step()
            seconds.append(f"{name} {time.monotonic() - began:.0f}")
        self.say(f"seconds: {', '.join(seconds)}")
        budget = f"; over the budget of a quiet machine: {', '.join(self.over)}" if self.over else ""
        upgraded = f"upgraded from {self.previous}, " if self.upgraded else ""
        return f"{self.healthy}, {upgraded}killed and back, restored, {self.stopped}{budget}"

    def compare(self, what: str, seconds: float, budget: float) -> None:
        self.say(f"  {what} {seconds:.1f} s (budget {budget:g} s)")
        if seconds > budget:
            self.over.append(f"{what} {seconds:.1f} s")

    @property
    def cluster(self) -> Cluster:
        return Cluster(self.engine, self.work / "now", self.ports | _THIS)

    # --- The steps ---

    def make_the_base(self) -> None:
        """What the images are built from, and a context that has no secrets in it."""
        self.say(f"  base: {base.make_base(self.engine, self.cache, self.work)}")
        self.ports |= edge.make_certificates(self.work / "certificates")
        context = self.work / "now"
        checkout.strict_copy(context)
        self.say(
            f"  the context has {checkout.require_clean_context(self.engine, context, self.work)} files, no secrets"
        )
        self.say(f"  {base.make_wheels(self.engine, context, self.cache)}")

    def build_images(self) -> None:
        """All images from a checkout under umask 077 that has secrets in it, and those of the previous commit.

        Both builds go on side by side, and the engine makes only once what they have in common. No cluster runs
        meanwhile: its Valkeys wait for the disk at each write, and images are written in bulk.
        """
        self.before = self.work / "before"
        self.before.mkdir()
        found = checkout.commit(self.previous, self.before)
        if found is not None:
            self.previous = found
            self.upgraded = True
        with ThreadPoolExecutor(1) as beside:
            others = [beside.submit(self._build, self.before, _BEFORE)] if self.upgraded else []
            self.say(f"  the proxy's base: nginx {base.make_nginx(self.engine, self.cache, self.work)}")
            self._build(self.work / "now", _THIS)
        for other in others:
            other.result()
        bare = int(self.engine.docker("image", "inspect", "--format", "{{.Size}}", base.BASE))
        for name in ("quarry:local", "quarry-miner:local"):
            size = int(self.engine.docker("image", "inspect", "--format", "{{.Size}}", name))
            self.say(f"  {name}: {(size - bare) / 1e6:.0f} MB and the base")
        self._require_kernels()

    def _build(self, context: Path, names: dict[str, str]) -> None:
        started = time.monotonic()
        wanted = "node|miner|edge" if names is _THIS else "node|miner"
        targets = re.findall(rf"^FROM .* AS ({wanted})$", (context / "Dockerfile").read_text(), re.MULTILINE)
        # The miner's first, since its stages are independent at first and are built side by side. The node's is a part.
        targets.sort(key=lambda target: target != "miner")
        for target in targets or [""]:
            name = names[{"miner": "QUARRY_MINER_IMAGE", "edge": "EDGE_IMAGE"}.get(target, "QUARRY_IMAGE")]
            self.engine.build(context, target, name, BASE=base.BASE, WHEELS=base.WHEELS)
        self.say(
            f"  built {' and '.join(targets) or 'the image'} of {context.name}: {time.monotonic() - started:.1f} s"
        )

    def _require_kernels(self) -> None:
        """Only the miner's image has the fast kernel. Both can send traces."""
        program = (
            "from services.settings.table import load\n"
            "from services.system import tracing\n"
            "from worker.kernel import choose\n"
            "print(choose('auto').name)\n"
            "tracing.begin(load({'QUARRY_TRACES_URL': 'http://127.0.0.1:4318/v1/traces'}), 'api')\n"
        )
        for name, expected in (("quarry:local", b"plain"), ("quarry-miner:local", b"fast")):
            options = ("run", "--rm", "--network", "none", "--read-only", "--tmpfs", "/tmp", "--entrypoint", "python")
            options = (*options, "--env", "NUMBA_CACHE_DIR=/opt/numba")  # type: ignore[assignment]
            found = self.engine.docker(*options, name, "-P", "-c", program).strip()
            if found != expected:
                raise Failed(f"{name} has the kernel {found.decode()}, not {expected.decode()}")

    def start_the_previous_commit(self) -> None:
        """One node of the previous commit, which mines and pays: what an upgrade has to keep."""
        if not self.upgraded:
            self.say(f"  there is no commit {self.previous} here: nothing is upgraded")
            return
        old = Cluster(self.engine, self.before, self.ports | _BEFORE)
        old.up("--scale", "miner=1", "node1", "ticker1", "network1", "miner")
        old.quarry("node1", "mine", "2")
        old.quarry("node1", "wallet", "new", "alice")
        old.quarry("node1", "send", "--from", "node1", "--to", "alice", "0.5", "--wait")
        self.exported = self._export(old)
        self.say(f"  {self._blocks(self.exported)} blocks of {self.previous}")

    def upgrade(self) -> None:
        """The same project with this checkout's images and file. What was there is there, and two nodes join."""
        seconds = self.cluster.up()
        self.compare("healthy after the upgrade:", seconds, HEALTHY_SECONDS)
        if not self.upgraded:
            self.cluster.quarry("node1", "wallet", "new", "alice")
        elif self._export(self.cluster) != self.exported:
            raise Failed("the chain of the previous commit is not what the upgraded node exports")
        self.cluster.compose(*"exec -T node1 in-node quarry mine 3".split())
        self.cluster.quarry("node1", "send", "--from", "node1", "--to", "alice", "0.25", "--wait")
        self._agree()

    def look_at_the_containers(self) -> None:
        """Limits, rights, logs: what only an engine can tell."""
        found = self.cluster.containers()
        if unlimited := [item.service for item in found if item.memory <= 0 or item.pids <= 0]:
            raise Failed(f"no limit of memory or processes: {', '.join(unlimited)}")
        for item in found:
            status = Path(f"/proc/{item.pid}/status").read_text()
            rights = re.search(
                r"^Uid:\t10001\t10001.*^CapEff:\t0+$.*^NoNewPrivs:\t1$", status, re.MULTILINE | re.DOTALL
            )
            if rights is None:
                raise Failed(f"{item.service} has other rights than a user without capabilities")
        metrics = self.cluster.get("node1", "/metrics").decode()
        for store, limit in (("chain", 2 << 30), ("broker", 256 << 20)):
            said = re.search(
                rf'^quarry_store_memory_limit_bytes{{[^}}]*"{store}"[^}}]*}} (\S+)$', metrics, re.MULTILINE
            )
            if said is None or float(said[1]) != limit:
                raise Failed(f"the store {store} has not the memory limit {limit}: {said and said[1]}")
        # What was compiled when the image was built is what the miners use: none has compiled another.
        self.cluster.compose("exec", "-T", "miner", "diff", "--recursive", "/opt/numba", "/tmp/numba")
        log = self.engine.logs(next(item.id for item in found if item.service == "node1"))
        if '"level": "warning"' in log and "Python threads" in log:
            raise Failed("granian's warning about threads is in the API's log")
        self.say(f"  {len(found)} containers: user 10001, no capabilities, limits of memory and processes, maxmemory")

    def pass_the_edge(self) -> None:
        """The profile `edge`: what a stranger gets through the proxy, also after node1 has got another address."""
        stranger = edge.Stranger(
            self.work / "certificates", int(self.ports["EDGE_HTTP_PORT"]), int(self.ports["EDGE_HTTPS_PORT"])
        )
        seconds = self.cluster.up(profile="edge")
        self.say(f"  the proxy is healthy after {seconds:.1f} s: {stranger.require_all()}")
        before = self.cluster.address("node1")
        self.cluster.move("node1")
        after = self.cluster.address("node1")
        if after == before:
            raise Failed(f"node1 has the address {before} as before, so the proxy was not tried")
        took = stranger.wait(60.0, f"node1 has moved from {before} to {after}, and the proxy finds it no more")
        self.say(f"  node1 moved from {before} to {after}: answered {took:.1f} s after it was healthy")
        self.cluster.compose("rm", "--stop", "--force", "proxy", profile="edge")

    def kill_every_program(self) -> None:
        """kill -9 of the program in each container, all at once."""
        before, exported = self.cluster.containers(), self._export(self.cluster)
        started = time.monotonic()
        self.cluster.kill_programs(before)
        found = self.cluster.wait_healthy(before)
        self.say(f"  {len(found)} of {len(before)} killed and healthy again after {time.monotonic() - started:.1f} s")
        if self._export(self.cluster) != exported:
            raise Failed("the chain is another one after kill -9 of everything")
        self.cluster.quarry("node1", "mine", "1")
        self._agree()

    def scale_the_miners(self) -> None:
        """Eight miners mine; MINERS keeps them, and a plain `up` goes back to three. /status counts no dead ones."""
        self.say(f"  eight miners, healthy after {self.cluster.up('--scale', 'miner=8'):.1f} s")
        self._require_miners(8)
        self.cluster.quarry("node1", "mine", "2")
        self.cluster.up(miners="8")
        self._require_miners(8)
        self.cluster.up()
        self._require_miners(3)
        self._agree()

    def stop_and_start(self) -> None:
        """`down` and `up`: the same chain, to the byte."""
        self._save()
        self._stop()
        self.cluster.down()
        self._start("healthy after `up`:")
        if self._export(self.cluster) != self.exported:
            raise Failed("the chain is another one after `down` and `up`")

    def lose_everything_and_restore(self) -> None:
        """All volumes are gone. Keys come back by tar, the chain from its file, as docs/operations.md says."""
        keys, blocks = self._digests(), self.exported
        backup = self.cluster.compose("exec", "-T", "node1", *"tar --create --gzip --directory /data .".split())
        self.cluster.down("--volumes")
        unpack = (
            "run --rm --no-deps -T --entrypoint tar node1 --extract --gzip --preserve-permissions --directory /data"
        )
        self.cluster.compose(*unpack.split(), given=backup)
        self._start("healthy with nothing but the restored keys:")
        if self._digests() != keys:
            raise Failed("keys or token are not those of the backup")
        bring = "exec -T node1 in-node quarry chain import --node node1 -"
        self.cluster.compose(*bring.split(), given=blocks)
        if self._export(self.cluster) != blocks:
            raise Failed("the restored chain is another one")
        self._agree()
        self.cluster.quarry("node1", "send", "--from", "alice", "--to", "node1", "0.1", "--wait")
        self._agree()
        self.say(f"  {len(keys)} files of keys and {self._blocks(blocks)} blocks are back; Alice can pay")

    def stop_for_good(self) -> None:
        self._stop()
        self.cluster.down("--volumes")

    # --- What several steps do ---

    def _start(self, what: str) -> None:
        seconds = self.cluster.up()
        count = len(self.cluster.containers())
        self.compare(what, seconds, HEALTHY_SECONDS)
        self.healthy = f"{count} of {count} healthy after {seconds:.0f} s"

    def _stop(self) -> None:
        seconds, codes = self.cluster.stop()
        shown = ", ".join(f"{code} of {count}" for code, count in sorted(codes.items()))
        self.compare("stopped by SIGTERM alone:", seconds, STOP_SECONDS)
        self.say(f"  exit codes: {shown}")
        self.stopped = f"stopped in {seconds:.0f} s"

    def _agree(self) -> None:
        height, tip = self.cluster.agreed()
        self.say(f"  {len(NODES)} equal tips: height {height}, {tip[:12]}")

    def _require_miners(self, count: int) -> None:
        began = time.monotonic()

        def counted() -> int:
            found: int = self.cluster.status("node1")["workers"]["mining"]
            return found

        self.cluster.eventually(lambda: counted() == count, lambda: f"/status counts {counted()} miners, not {count}")
        self.say(f"  /status counts {count} miners, {time.monotonic() - began:.1f} s later")

    def _save(self) -> None:
        self.exported = self._export(self.cluster)

    @staticmethod
    def _export(cluster: Cluster) -> bytes:
        return cluster.quarry("node1", "chain", "export", "-")

    @staticmethod
    def _blocks(exported: bytes) -> int:
        return exported.count(b"\n")

    def _digests(self) -> dict[str, str]:
        """SHA-256 of each file of keys in node1's volume, with its owner and mode."""
        program = (
            "import hashlib, pathlib\n"
            "for path in sorted(pathlib.Path('/data').rglob('*')):\n"
            "    if path.is_file() and 'logs' not in path.parts:\n"
            "        stat = path.stat()\n"
            "        print(path, stat.st_uid, oct(stat.st_mode), hashlib.sha256(path.read_bytes()).hexdigest())\n"
        )
        listed = self.cluster.compose("exec", "-T", "node1", "python", "-c", program).decode().splitlines()
        found = {line.split(" ", 1)[0]: line.split(" ", 1)[1] for line in listed}
        if missing := [name for name in _KEYS if f"/data/node1/{name}" not in found]:
            raise Failed(f"node1's volume lacks {', '.join(missing)}")
        return found
