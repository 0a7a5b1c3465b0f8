"""What every proxy task has to do, whatever it trains."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

from autoshrink_ray import plugins
from autoshrink_ray.contracts import DataRequest, Evaluator, ProxyTask, SearchSpace, Settings
from autoshrink_ray.errors import DataError
from autoshrink_ray.records import Measurement
from autoshrink_ray.topology import Topology
from tests.trainables.support import EDGE, BuilderSpace, NoMacro
from trainables.device import machine


@dataclass(frozen=True)
class Case:
    """A task with something small to train.

    Attributes:
        name: What spaces call the task.
        task: The task.
        space: A space whose networks it trains.
        macro: Small networks.
        proxy: Two short epochs that improve or do not, but are not stopped.
        data: Little data.
        cells: Two cells of the space.
        foreign: A data set of another kind, and what the refusal says.
    """

    name: str
    task: ProxyTask
    space: SearchSpace
    macro: Settings
    proxy: Settings
    data: Any
    cells: tuple[Topology, Topology]
    foreign: tuple[str, str] = field(kw_only=True)

    def evaluator(self, space: Any = None, macro: Any = None, **changes: Any) -> Evaluator:
        """A worker's evaluator on one CPU thread."""
        proxy = self.proxy.model_copy(update=changes)
        return self.task.evaluator(
            space or self.space, macro or self.macro, proxy, self.data, threads=1, gpu=False
        )


def numbers(result: Measurement) -> dict[str, Any]:
    """Everything but the time it took."""
    return result.model_dump(exclude={"seconds"})


class TaskContract:
    """A subclass named `Test...` has the fixture `case`."""

    def test_result_of_a_candidate(self, case: Case) -> None:
        result = case.evaluator().evaluate(case.cells[0], 1)
        assert result.status == "complete"
        assert (result.epochs, len(result.curve), result.stop_reason) == (2, 2, "epochs")
        assert result.metrics[case.task.objective] in result.curve
        cost = case.space.cost(case.cells[0], case.macro, case.data.shape)
        assert {name: result.metrics[name] for name in cost} == cost
        assert (result.device, result.build) == machine(gpu=False)
        assert result.seconds > 0

    def test_same_seed_same_bits_in_any_order_and_worker(self, case: Case) -> None:
        cell, other = case.cells
        first, second = case.evaluator(), case.evaluator()
        a, b = first.evaluate(cell, 1), first.evaluate(other, 2)
        assert numbers(second.evaluate(other, 2)) == numbers(b)
        torch.rand(3)
        assert numbers(second.evaluate(cell, 1)) == numbers(a)
        assert numbers(first.evaluate(cell, 1)) == numbers(a)

    def test_another_seed_is_another_training(self, case: Case) -> None:
        worker = case.evaluator()
        assert numbers(worker.evaluate(case.cells[0], 1)) != numbers(
            worker.evaluate(case.cells[0], 2)
        )

    def test_a_training_that_diverges_is_a_failure(self, case: Case) -> None:
        result = case.evaluator(learning_rate=1e30).evaluate(case.cells[0], 0)
        assert result.status == "failed"
        assert result.reason.startswith("diverged in epoch 1")

    def test_running_out_of_memory_is_reported(self, case: Case) -> None:
        def build(shape: Any) -> Any:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

        worker = case.evaluator(BuilderSpace(build, case.name), NoMacro())
        result = worker.evaluate(EDGE, 0)
        assert result.status == "out_of_memory"
        assert "Tried to allocate" in result.reason

    def test_a_topology_that_the_space_refuses_is_a_failure(self, case: Case) -> None:
        result = case.evaluator().evaluate(EDGE, 0)
        assert result.status == "failed"
        assert "'x'" in result.reason

    def test_data_of_another_kind_are_refused(self, case: Case) -> None:
        name, message = case.foreign
        with pytest.raises(DataError, match=message):
            case.task.load(DataRequest(name, {}), case.space, case.macro, case.proxy)

    def test_it_is_registered(self, case: Case) -> None:
        assert plugins.task(case.name) is case.task
