"""Both algorithms under Ray Tune: the suite that every driver has to pass."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from ray import tune

from autoshrink_ray.cluster import Resources
from autoshrink_ray.conductor import Conductor, Search
from autoshrink_ray.dispatch import CandidateDispatcher
from autoshrink_ray.executors.tune import work_off
from autoshrink_ray.ledger import MemoryLedger
from autoshrink_ray.work import Assignment, Retries, Work
from tests.contracts.drivers import Drive, outcomes
from tests.contracts.policy_contract import DriverContract

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("cluster")]


class ScoringTrainable(tune.Trainable):
    """Looks results up instead of training."""

    def setup(self, config: dict[str, Any]) -> None:
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.work = Work.model_validate_json(new_config["work"])
        return True

    def step(self) -> dict[str, Any]:
        found = outcomes(Assignment(number=0, work=self.work, queued=0.0))
        return {"outcomes": [outcome.model_dump_json() for outcome in found]}


def by_tune(searches: Mapping[int, Search]) -> None:
    one_cpu = Resources(1, 0)
    trainable = tune.with_resources(ScoringTrainable, one_cpu.placement_group_factory())
    dispatcher = CandidateDispatcher(Conductor(searches, MemoryLedger()), Retries(worker=0))
    work_off(trainable, 4, one_cpu.whole_device(), dispatcher, lambda: False)
    assert dispatcher.finished


class TestDrivenByTune(DriverContract):
    seeds = (0, 1)

    @pytest.fixture
    def drive(self) -> Drive:
        return by_tune
