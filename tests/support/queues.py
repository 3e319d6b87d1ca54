"""Queues that remember what was enqueued."""

from services.jobs.queues import RqJobs
from services.ports import QueueReport, QueueTrouble


class RecordingQueue:
    """A queue without a broker. No job runs."""

    def __init__(self, workers: int = 1) -> None:
        self.workers = workers
        self.searches: list[tuple[str, int]] = []  # round, copies
        self.jobs: dict[str, str] = {}  # id -> function

    def enqueue_search(self, node: str, round_id: str, height: int | None, copies: int) -> None:
        self.searches.append((round_id, copies))

    def enqueue_network(self, function: str, node: str, job_id: str, *args: str) -> bool:
        new = job_id not in self.jobs
        self.jobs.setdefault(job_id, function)
        return new

    def mining_workers(self) -> int:
        return self.workers

    def network_workers(self) -> int:
        return 1

    def trouble(self) -> QueueTrouble:
        return QueueTrouble(False, 0)

    def report(self) -> QueueReport:
        return QueueReport((), {})


class RecordedJobs(RqJobs):
    """RQ's queues on a real broker, and how many search jobs went in."""

    enqueued = 0

    def enqueue_search(self, node: str, round_id: str, height: int | None, copies: int) -> None:
        self.enqueued += copies
        super().enqueue_search(node, round_id, height, copies)
