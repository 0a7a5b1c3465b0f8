"""What fits on a cluster's nodes, now or once an autoscaler has started them."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import ray
from ray.core.generated.autoscaler_pb2 import ClusterConfig

from autoshrink_ray import SearchConfig
from autoshrink_ray import autoscaler as autoscaler_module
from autoshrink_ray import cluster as cluster_module
from autoshrink_ray.cluster import Resources, connection, notices, require_fitting_node, slots
from autoshrink_ray.errors import ConfigError
from autoshrink_ray.executors.tune import concurrency

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("cluster")]


def report(config: ClusterConfig) -> None:
    """Tells the head what an autoscaler could start, as an autoscaler does."""
    client = ray._raylet.GcsClient(address=ray.get_runtime_context().gcs_address)
    client.report_cluster_config(config.SerializeToString())


@pytest.fixture
def autoscaler() -> Iterator[ClusterConfig]:
    """An autoscaler that could start up to two nodes with 8 CPUs and 4 GPUs."""
    config = ClusterConfig()
    group = config.node_group_configs.add(name="gpu", max_count=2)
    group.resources.update({"CPU": 8, "GPU": 4})
    report(config)
    yield config
    report(ClusterConfig())


@pytest.mark.usefixtures("autoscaler")
def test_a_node_that_could_be_started_is_waited_for() -> None:
    require_fitting_node(Resources(8, 4))


@pytest.mark.usefixtures("autoscaler")
def test_a_trial_larger_than_every_node_type_is_refused() -> None:
    with pytest.raises(ConfigError, match="the largest has 8 CPUs and 4 GPUs"):
        require_fitting_node(Resources(1, 5))


def test_a_node_type_that_may_not_be_started_does_not_count(autoscaler: ClusterConfig) -> None:
    autoscaler.node_group_configs[0].max_count = 0
    report(autoscaler)
    with pytest.raises(ConfigError, match="the largest has 4 CPUs and 0 GPUs"):
        require_fitting_node(Resources(1, 1))


def test_an_autoscaler_that_does_not_answer_is_not_waited_for_for_ever() -> None:
    """Nobody judges demands here; what asked is gone afterwards."""
    assert autoscaler_module.asked([{"CPU": 1, "GPU": 1}], time.monotonic() + 1) == "no answer"
    states = {group["state"] for group in ray.util.placement_group_table().values()}
    assert states <= {"REMOVED"}


@pytest.mark.parametrize(
    ("answer", "notice"),
    [
        ("could start", []),
        ("cannot be asked", ["of version 1, cannot be asked"]),
        ("no answer", ["did not say in time"]),
    ],
)
def test_what_nobody_can_say_for_sure_is_no_error(
    monkeypatch: pytest.MonkeyPatch, answer: str, notice: list[str]
) -> None:
    told: list[str] = []
    monkeypatch.setattr(cluster_module, "could_start", lambda bundle: answer)
    require_fitting_node(Resources(1, 1), told.append)
    assert len(told) == len(notice)
    assert all(part in text for part, text in zip(notice, told, strict=True))


@pytest.mark.usefixtures("autoscaler")
def test_trials_that_leave_gpus_idle_are_told_what_would_not() -> None:
    (text,) = notices(Resources(4, 0.5))
    assert "holds 2 trials of 4 CPUs where its GPUs have room for 8" in text
    assert "--cpus-per-trial 1 would fill it" in text
    assert notices(Resources(1, 0.5)) == []


def test_several_small_nodes_are_no_large_one(autoscaler: ClusterConfig) -> None:
    with pytest.raises(ConfigError):
        require_fitting_node(Resources(12, 0))


@pytest.mark.parametrize(("cpus", "fitting"), [(1, 4), (0.5, 8), (3, 1), (5, 0)])
def test_slots_count_what_each_node_holds(cpus: float, fitting: int) -> None:
    assert slots(Resources(cpus, 0)) == fitting


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, 4),
        ({"candidates": 3}, 3),
        ({"candidates": 3, "searches": 2}, 4),
        ({"max_concurrent": 2}, 2),
        ({"granularity": "search", "searches": 3}, 3),
        ({"algorithm": "random", "budget": 2}, 2),
    ],
)
def test_an_own_cluster_is_filled_and_no_more(settings: dict[str, object], expected: int) -> None:
    assert concurrency(SearchConfig.of(settings), Resources(1, 0)) == expected


def test_on_a_joined_cluster_the_whole_demand_is_pending() -> None:
    assert concurrency(SearchConfig.of({"searches": 7}), None) == 70


def test_an_address_where_no_cluster_answers_is_a_usage_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with (
        pytest.raises(ConfigError, match=r"no Ray cluster answers at '127\.0\.0\.1:1'"),
        connection("127.0.0.1:1"),
    ):
        pass
