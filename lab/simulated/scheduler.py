"""Simulated time: one heap of events, and tasks that run one at a time and switch where they wait.

A task is plain blocking code in a greenlet of its own: a stack that is left and entered again within one thread. Only
one task runs at a time, so the heap alone decides which is next. Code under test waits in `sleep`: for the network,
for its clock, or because it is preempted between two commands to the store.
"""

import heapq
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from greenlet import getcurrent, greenlet


class Killed(BaseException):
    """The process died at this point: none of its code runs any more, not even its error handling."""

    def __init__(self, process: "Process | None") -> None:
        super().__init__()
        self.process = process


class Process:
    """A process: an API process or a worker. All its tasks die together."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = True


class Task:
    """One flow of control."""

    def __init__(self, scheduler: "Scheduler", name: str, process: Process, work: Callable[[], Any]) -> None:
        self.scheduler = scheduler
        self.name = name
        self.owners = [process]  # the last one runs now: a request is served on the caller's stack
        self.work = work
        self.done = False
        self.stack: greenlet | None = None  # from the first switch on
        self.waiting: Task | None = None  # the task that waits for the end of this one

    def run(self) -> None:
        """Run from the first switch to the end. Its caller goes on where it switched to this stack."""
        scheduler = self.scheduler
        try:
            scheduler.checkpoint()
            self.work()
        except Killed:
            pass
        except BaseException as error:
            scheduler.crashed(self, error)
        self.done = True
        if self.waiting is not None:
            scheduler.wake(self.waiting)


class Bell:
    """What ends a task's rest before its time."""

    def __init__(self) -> None:
        self.resting: Task | None = None
        self.rang = False
        self.rests = 0  # so far: tells the end of one rest from that of another


class Scheduler:
    """The time, and which task runs."""

    def __init__(self, on_crash: Callable[[str, BaseException], None]) -> None:
        self.now = 0.0
        self.current: Task | None = None
        self.switches = 0
        self._heap: list[tuple[float, int, Callable[[], None] | Task]] = []
        self._sequence = 0
        self._tasks: dict[Task, None] = {}
        self._ended = False
        self._on_crash = on_crash

    # --- outside of tasks ---

    def after(self, delay: float, action: Callable[[], None]) -> None:
        """Call `action` later, outside of tasks. It must not wait."""
        self._push(self.now + delay, action)

    def spawn(self, name: str, process: Process, work: Callable[[], Any], delay: float = 0.0) -> Task:
        """Start a task later."""
        task = Task(self, name, process, work)
        self._push(self.now + delay, task)
        return task

    def run(self, until: Callable[[], bool]) -> None:
        """Run events in order of time until `until()` is true. It is called before each event."""
        while self._heap and not until():
            when, _, event = heapq.heappop(self._heap)
            self.now = max(self.now, when)
            if isinstance(event, Task):
                self._switch(event)
            else:
                event()

    def end(self) -> None:
        """Kill all tasks that still wait, so that no stack is left."""
        self._ended = True
        for task in list(self._tasks):
            if not task.done:
                self._switch(task)

    # --- inside of tasks ---

    def checkpoint(self) -> None:
        """Raise Killed if a process for which the current task runs is dead."""
        if self._ended:
            raise Killed(None)
        if self.current is not None:
            for owner in self.current.owners:
                if not owner.alive:
                    raise Killed(owner)

    def sleep(self, seconds: float) -> None:
        """Let other tasks run for so many seconds. Does nothing outside of tasks."""
        task = self.current
        if task is None:
            return
        self.checkpoint()
        wakes = self.now + seconds
        if not self._heap or self._heap[0][0] > wakes:
            self.now = wakes  # no other event comes before this task continues
            return
        self._push(wakes, task)
        self._park(task)

    def rest(self, seconds: float, bell: Bell) -> bool:
        """Let other tasks run for so many seconds, or until the bell rings. Returns whether it rang."""
        task = self.current
        assert task is not None
        self.checkpoint()
        bell.resting, bell.rang = task, False
        bell.rests += 1
        self.after(seconds, partial(self._end_rest, bell, bell.rests))
        self._park(task)
        return bell.rang

    def ring(self, bell: Bell) -> None:
        """End the rest of the task that rests at this bell, if there is one."""
        if bell.resting is not None:
            bell.rang = True
            self._end_rest(bell, bell.rests)

    def _end_rest(self, bell: Bell, which: int) -> None:
        if bell.resting is not None and bell.rests == which:
            task, bell.resting = bell.resting, None
            self.wake(task)

    def join(self, tasks: list[Task]) -> None:
        """Wait for tasks."""
        task = self.current
        assert task is not None
        for other in tasks:
            if not other.done:
                other.waiting = task
                self._park(task)

    def wake(self, task: Task) -> None:
        """Let a parked task continue now."""
        self._push(self.now, task)

    @contextmanager
    def acting_for(self, process: Process) -> Iterator[None]:
        """Run for another process, as when it serves a request."""
        task = self.current
        assert task is not None
        task.owners.append(process)
        try:
            yield
        finally:
            task.owners.pop()

    def crashed(self, task: Task, error: BaseException) -> None:
        self._on_crash(task.name, error)

    def _push(self, when: float, event: Callable[[], None] | Task) -> None:
        self._sequence += 1
        heapq.heappush(self._heap, (when, self._sequence, event))

    def _park(self, task: Task) -> None:
        assert task.stack is not None
        task.stack.parent.switch()
        self.checkpoint()

    def _switch(self, task: Task) -> None:
        """Run a task until it waits or ends."""
        if task.done:
            return
        if task.stack is None:
            task.stack = greenlet(task.run, parent=getcurrent())
            self._tasks[task] = None
        self.switches += 1
        self.current = task
        task.stack.switch()
        self.current = None
        if task.done:
            del self._tasks[task]
