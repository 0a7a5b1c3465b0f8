"""Everything in this process, one candidate after the other: for debugging and for tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from autoshrink_ray.dispatch import Dispatcher
from autoshrink_ray.executors import WorkOff, quietly
from autoshrink_ray.plan import Plan
from autoshrink_ray.work import Assignment
from autoshrink_ray.worker import SearchSession, Worker


class InProcessExecutor:
    """Runs without Ray. An exception of a candidate's code goes through to the caller."""

    @contextmanager
    def ready(
        self, plan: Plan, data: Any, note: Callable[[str], None] = quietly
    ) -> Iterator[WorkOff]:
        worker = Worker(plan.config.model_dump(mode="json"), data)
        yield partial(_run, worker)


def _run(worker: Worker, dispatcher: Dispatcher, stop_requested: Callable[[], bool]) -> None:
    dispatcher.begin(at_once=1)
    while not stop_requested():
        assignment = dispatcher.next()
        if assignment is None:
            return
        dispatcher.started(assignment.number)
        _work_off(worker, dispatcher, assignment, stop_requested)


def _work_off(
    worker: Worker,
    dispatcher: Dispatcher,
    assignment: Assignment,
    stop_requested: Callable[[], bool],
) -> None:
    if assignment.work.search is None:
        outcomes = [worker.measure(task) for task in assignment.work.tasks]
        dispatcher.report(assignment.number, outcomes)
        return
    session = SearchSession(worker, assignment.work)
    while not stop_requested() and not dispatcher.report(assignment.number, session.step()):
        pass
