"""Measurements that runs share."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoshrink_ray import Measurement, Run, SearchConfig, run_search
from autoshrink_ray.cache import RELEVANT, EvaluationCache
from autoshrink_ray.conductor import Conductor
from autoshrink_ray.dispatch import CandidateDispatcher
from autoshrink_ray.errors import ConfigError, RetriesExhaustedError, StorageError
from autoshrink_ray.ledger import MemoryLedger
from autoshrink_ray.plan import Plan
from autoshrink_ray.storage import Folder
from autoshrink_ray.verify import verify
from autoshrink_ray.work import Outcome, Retries
from tests.core.processes import Driver, quick
from tests.core.runs import Notes, content, decisions, results, what_was_decided

HERE = ("cpu", "table")

GOOD = Measurement(
    status="complete", metrics={"accuracy": 0.5, "macs": 7.0}, curve=(0.5,), device="cpu",
    build="table",
)  # fmt: skip

FAILED = Measurement(
    status="failed", reason="diverged", curve=(float("nan"),), device="cpu", build="table"
)

FULL = Measurement(status="out_of_memory", reason="out of memory", device="cpu", build="table")


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    return tmp_path / "shared"


def trained(run: Run) -> int:
    return sum(not evaluation.cached for evaluation in run.ledger.evaluations.values())


def entries(shared: Path) -> list[Path]:
    return sorted(shared.rglob("*.json"))


def test_another_run_finds_what_one_has_trained(storage: Path, shared: Path) -> None:
    first = run_search(quick(storage, name="first", cache=str(shared)))
    assert len(entries(shared)) == trained(first)
    second = run_search(quick(storage, name="second", cache=str(shared)))
    assert trained(second) == 0
    assert decisions(second) == decisions(first)
    assert results(second) == results(first)
    alone = run_search(quick(storage, name="alone"))
    assert decisions(alone) == decisions(first), "the cache changes no decision"
    assert all(check.answer for check in verify(second, re_evaluate=3))


def test_another_weight_of_the_cost_is_scored_without_training(storage: Path, shared: Path) -> None:
    """Cells that the other weight leads to are new, all others are known."""
    run_search(quick(storage, name="first", cache=str(shared), cost_weight=0.1))
    other = quick(storage, name="other", cache=str(shared), cost_weight=5.0)
    second = run_search(other)
    alone = run_search(other, name="alone", cache=None)
    assert decisions(second) == decisions(alone)
    assert results(second) == results(alone)
    known = [e for e in second.ledger.evaluations.values() if e.candidate.round == 1]
    assert all(evaluation.cached for evaluation in known)
    assert trained(second) < trained(alone)
    third = run_search(other, name="third", cost_weight=5.0)
    assert trained(third) == 0


def test_searches_of_random_cells_share_with_those_that_shrink(storage: Path, shared: Path) -> None:
    few = {"nodes": 3, "cache": str(shared), "evaluation_seed": 5}
    run_search(quick(storage, name="shrink", candidates=9, **few))
    found = run_search(quick(storage, name="random", algorithm="random", budget=20, **few))
    alone = run_search(SearchConfig.of(found.file.config), name="alone", cache=None)
    assert decisions(found) == decisions(alone)
    assert trained(found) < trained(alone)


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"evaluation_seed": 1},
        {"proxy": {"seconds": 0.001}},
        {"cpus_per_trial": 2},
    ],
    ids=str,
)
def test_whatever_can_change_a_number_keeps_runs_apart(
    storage: Path, shared: Path, changes: dict[str, Any]
) -> None:
    run_search(quick(storage, name="first", cache=str(shared)))
    before = len(entries(shared))
    second = run_search(quick(storage, name="second", cache=str(shared), **changes))
    assert len(entries(shared)) == before + trained(second)
    assert what_was_decided(decisions(second)) == what_was_decided(
        decisions(run_search(quick(storage, name="alone", **changes)))
    )


IDENTITY = dict.fromkeys(RELEVANT, 0)

names = st.sampled_from(["space", "macro", "proxy", "data_fingerprint", "threads", "gpu"])


@given(names, st.integers(1, 3))
def test_each_part_of_the_name_counts(
    tmp_path_factory: pytest.TempPathFactory, name: str, value: int
) -> None:
    folder = Folder(str(tmp_path_factory.mktemp("cache")))
    EvaluationCache(folder, IDENTITY).put("key", 1, GOOD)
    other = EvaluationCache(folder, {**IDENTITY, name: value}, [HERE])
    same = EvaluationCache(folder, {**IDENTITY, "cost_weight": value, "searches": value}, [HERE])
    assert other.get("key", 1) is None
    assert same.get("key", 1) == GOOD
    assert same.get("other", 1) is None
    assert same.get("key", 2) is None


def test_another_kind_of_machine_keeps_its_own(shared: Path) -> None:
    folder = Folder(str(shared))
    EvaluationCache(folder, IDENTITY).put("key", 1, GOOD)
    assert EvaluationCache(folder, IDENTITY, [HERE]).get("key", 1) == GOOD
    assert EvaluationCache(folder, IDENTITY, [("H100", "table")]).get("key", 1) is None
    assert EvaluationCache(folder, IDENTITY, [("cpu", "newer")]).get("key", 1) is None
    assert EvaluationCache(folder, IDENTITY).get("key", 1) is None
    both = EvaluationCache(folder, IDENTITY, [("H100", "table"), HERE])
    assert both.get("key", 1) == GOOD


def test_a_candidates_own_failure_is_kept_with_its_reason(storage: Path, shared: Path) -> None:
    key = Plan.of(quick(storage)).searches()[0].policy.propose()[0].topology.key
    changes = {"cache": str(shared), "proxy": {"diverges": [key]}}
    run_search(quick(storage, name="first", **changes))
    second = run_search(quick(storage, name="second", **changes))
    assert trained(second) == 0
    failed = [e for e in second.ledger.evaluations.values() if not e.complete]
    assert [e.measurement.reason for e in failed] == ["diverged in epoch 1"] * len(failed)
    assert failed


def test_a_run_does_without_a_cache_that_gives_way(storage: Path, shared: Path) -> None:
    expected = run_search(quick(storage, name="alone"))

    def break_it() -> None:
        shutil.rmtree(shared)
        shared.write_text("no folder any more")

    notes = Notes(at=2, action=break_it)
    run = run_search(quick(storage, name="run", cache=str(shared)), observers=[notes])
    assert (run.status, decisions(run)) == ("finished", decisions(expected))
    (notice,) = notes.notices
    assert notice.startswith("the cache is not used any more: cannot ")


def dispatcher(storage: Path, shared: Path, **changes: Any) -> CandidateDispatcher:
    plan = Plan.of(quick(storage, **changes))
    conductor = Conductor(dict(enumerate(plan.searches())), MemoryLedger())
    cache = EvaluationCache(Folder(str(shared)), IDENTITY, [HERE])
    return CandidateDispatcher(conductor, Retries(worker=1), cache)


def test_what_the_infrastructure_lost_is_not_kept(storage: Path, shared: Path) -> None:
    out = dispatcher(storage, shared)
    first = out.next()
    assert first is not None
    out.lost(first.number, "killed")
    again = out.next()
    assert again is not None
    assert again.work == first.work
    with pytest.raises(RetriesExhaustedError):
        out.lost(again.number, "killed")
    assert entries(shared) == []


def test_running_out_of_memory_is_not_kept(storage: Path, shared: Path) -> None:
    """Neither the first time nor when it was alone and counts as failed."""
    out = dispatcher(storage, shared)
    assignment = out.next()
    while assignment is not None:
        task = assignment.work.tasks[0]
        exclusive = assignment.work.exclusive
        outcome = Outcome(
            candidate=task.candidate, measurement=FULL, started=0, ended=0, node="here"
        )
        out.report(assignment.number, [outcome])
        if exclusive:
            break
        assignment = out.next()
    assert assignment is not None
    assert entries(shared) == []


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda whole: b"",
    "truncated": lambda whole: whole[: len(whole) // 2],
    "something else": lambda whole: b"null",
    "another format": lambda whole: whole.replace(b'"schema_version":1', b'"schema_version":3'),
    "a number changed": lambda whole: whole.replace(b"0.5", b"0.6", 1),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_entry_is_passed_over_and_replaced(
    storage: Path, shared: Path, kind: str
) -> None:
    cache = EvaluationCache(Folder(str(shared)), IDENTITY, [HERE])
    cache.put("key", 1, GOOD)
    (path,) = entries(shared)
    whole = path.read_bytes()
    path.write_bytes(DAMAGES[kind](whole))
    assert path.read_bytes() != whole
    assert cache.get("key", 1) is None
    cache.put("key", 1, GOOD)
    assert path.read_bytes() == whole
    assert cache.get("key", 1) == GOOD


def test_a_run_trains_again_what_is_damaged_in_its_cache(storage: Path, shared: Path) -> None:
    first = run_search(quick(storage, name="first", cache=str(shared)))
    before = content(shared)
    entries(shared)[0].write_bytes(b"")
    second = run_search(quick(storage, name="second", cache=str(shared)))
    assert trained(second) == 1
    assert results(second) == results(first)
    assert content(shared) == before


@given(data=st.data())
def test_no_flipped_bit_gives_another_number(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("cache")
    cache = EvaluationCache(Folder(str(folder)), IDENTITY, [HERE])
    cache.put("key", 1, GOOD)
    (path,) = entries(folder)
    flipped = bytearray(path.read_bytes())
    flipped[data.draw(st.integers(0, len(flipped) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(flipped)
    assert cache.get("key", 1) in (None, GOOD)


def test_what_is_not_finite_comes_back(shared: Path) -> None:
    cache = EvaluationCache(Folder(str(shared)), IDENTITY, [HERE])
    cache.put("key", 1, FAILED)
    found = cache.get("key", 1)
    assert found is not None
    assert found.model_dump_json() == FAILED.model_dump_json()


def test_an_entry_under_another_name_is_damaged(shared: Path) -> None:
    cache = EvaluationCache(Folder(str(shared)), IDENTITY, [HERE])
    cache.put("key", 1, GOOD)
    (path,) = entries(shared)
    cache.put("other", 1, FAILED)
    (other,) = [entry for entry in entries(shared) if entry != path]
    other.write_bytes(path.read_bytes())
    assert cache.get("other", 1) is None


def test_an_intact_entry_is_not_written_again(shared: Path) -> None:
    cache = EvaluationCache(Folder(str(shared)), IDENTITY, [HERE])
    cache.put("key", 1, GOOD)
    before = content(shared)
    cache.put("key", 1, GOOD.model_copy(update={"seconds": 99.0}))
    assert content(shared) == before


def test_runs_that_write_at_once_do_not_disturb_each_other(storage: Path, shared: Path) -> None:
    alone = run_search(quick(storage, name="alone", proxy={"seconds": 0.02}))
    configs = [
        quick(storage, name=name, cache=str(shared), proxy={"seconds": 0.02})
        for name in ("one", "two")
    ]
    with Driver(configs[0]) as one, Driver(configs[1]) as two:
        assert [one.wait_for("end")["status"], two.wait_for("end")["status"]] == ["finished"] * 2
    for name in ("one", "two"):
        run = Run(str(storage / name))
        assert decisions(run) == decisions(alone)
        assert results(run) == results(alone)
    assert trained(run_search(configs[0], name="three")) == 0, "all entries are whole"
    assert {path.suffix for path in shared.rglob("*") if path.is_file()} == {".json"}


def test_a_run_goes_on_with_another_cache_or_none(storage: Path, shared: Path) -> None:
    with Driver(quick(storage, cache=str(shared), proxy={"seconds": 0.05})) as driver:
        driver.wait_for("evaluation", 4)
        driver.process.kill()
    run = run_search(quick(storage, proxy={"seconds": 0.05}))
    assert run.status == "finished"


def test_a_cache_that_cannot_be_written_is_refused_before_the_run(
    storage: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"cannot write .*file/below"):
        run_search(quick(storage, cache=str(tmp_path / "file" / "below")))
    assert not (storage / "run").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"granularity": "search"}, "a cache needs granularity candidate, got search"),
        ({"cache": "s3://key:secret@bucket"}, "a URI without credentials"),
    ],
)
def test_a_cache_that_would_not_be_used_or_leaks_is_refused(
    storage: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        SearchConfig.of(json.loads(quick(storage).model_dump_json()) | {"cache": "here"} | changes)
