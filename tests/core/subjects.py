"""The files of the core that can be damaged, each with its reader."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from unittest import mock

from autoshrink_ray import Run, SearchConfig, lease, run_search
from autoshrink_ray.analysis import (
    cost_account,
    edge_importance,
    noise,
    pareto,
    round_views,
    why,
)
from autoshrink_ray.cache import RELEVANT, EvaluationCache
from autoshrink_ray.conductor import Conductor
from autoshrink_ray.config import read_config
from autoshrink_ray.errors import VerificationError
from autoshrink_ray.files import CellFile, digest, to_yaml
from autoshrink_ray.ledger import MemoryLedger, set_aside
from autoshrink_ray.plan import Plan
from autoshrink_ray.storage import Folder
from autoshrink_ray.table import to_parquet
from autoshrink_ray.verify import verify
from tests.contracts.policies import searches, shrink
from tests.contracts.scoring import complete
from tests.mutations import Subject


def _config(folder: Path) -> SearchConfig:
    return SearchConfig(
        space="table",
        plugins=("tests.plugins.table",),
        nodes=3,
        candidates=2,
        executor="in-process",
        storage=str(folder),
        name="run",
    )


def _run(folder: Path) -> Path:
    return Path(run_search(_config(folder)).folder.path)


def _use_run(folder: Path) -> None:
    """What `show`, `explain`, `verify` and going on with a run do."""
    run = Run(str(folder))
    _explain(run)
    run.to_dict()
    to_parquet(run.table)
    for decision in run.ledger.decisions.values():
        run.cell(decision)
    _ = run.machines, run.message
    with suppress(VerificationError):
        list(verify(run))
    plan = Plan.of(SearchConfig.of(run.file.config))
    Conductor(dict(enumerate(plan.searches())), MemoryLedger()).replay(run.ledger)
    set_aside(run.folder, run.ledger)


def _explain(run: Run) -> None:
    shown = noise(run)
    cost_account(run), pareto(run)
    for search in range(min(len(run.searches), 3)):
        edge_importance(run, search)
        for view in round_views(run, search):
            why(view, shown, run.objective)
            _ = view.spread, view.seconds


def run_file(folder: Path) -> Subject:
    run = _run(folder)

    def read(content: bytes) -> None:
        (run / "run.yaml").write_bytes(content)
        _use_run(run)

    return Subject((run / "run.yaml").read_bytes(), "yaml", read)


def _ledger_object(pattern: str) -> Callable[[Path], Subject]:
    def subject(folder: Path) -> Subject:
        run = _run(folder)
        path = sorted((run / "ledger").rglob(pattern))[0]

        def read(content: bytes) -> None:
            path.write_bytes(content)
            _use_run(run)

        return Subject(path.read_bytes(), "json", read)

    return subject


def _signed_ledger_object(pattern: str) -> Callable[[Path], Subject]:
    """One that somebody changed, checksum and all."""

    def subject(folder: Path) -> Subject:
        run = _run(folder)
        path = sorted((run / "ledger").rglob(pattern))[0]
        envelope = json.loads(path.read_bytes())

        def read(content: bytes) -> None:
            body = content.decode(errors="replace")
            sha256 = digest("\n".join([body, *envelope["uses"]]).encode())
            path.write_text(json.dumps(envelope | {"body": body, "sha256": sha256}))
            _use_run(run)

        return Subject(envelope["body"].encode(), "json", read)

    return subject


def cell_file(folder: Path) -> Subject:
    def read(content: bytes) -> None:
        cell = CellFile.from_json(content, "cell.json")
        _ = cell.topology.key, cell.topology.canonical()
        cell.to_json()

    return Subject((_run(folder) / "best.cell.json").read_bytes(), "json", read)


def lease_file(folder: Path) -> Subject:
    held = lease.Lease.mine()

    def read(content: bytes) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "lease.json").write_bytes(content)
        with mock.patch.object(lease, "EXPIRY", 0.0), lease.held(Folder(str(folder))):
            pass

    return Subject(held.model_dump_json().encode(), "json", read)


def _cache(folder: Path) -> tuple[EvaluationCache, Path]:
    cache = EvaluationCache(Folder(str(folder)), dict.fromkeys(RELEVANT, 1))
    cache.put("key", 0, complete(0.5))
    return cache, next(path for path in folder.rglob("*.json"))


def _use_cache(cache: EvaluationCache) -> None:
    found = cache.get("key", 0)
    if found is not None:
        conductor = Conductor(searches(shrink, 0), MemoryLedger())
        conductor.accept_shared(conductor.missing(0)[0], found)
    cache.put("key", 0, complete(0.5))


def cache_entry(folder: Path) -> Subject:
    cache, path = _cache(folder)

    def read(content: bytes) -> None:
        path.write_bytes(content)
        _use_cache(cache)

    return Subject(path.read_bytes(), "json", read)


def signed_cache_entry(folder: Path) -> Subject:
    cache, path = _cache(folder)
    entry = json.loads(path.read_bytes())

    def read(content: bytes) -> None:
        body = content.decode(errors="replace")
        path.write_text(json.dumps(entry | {"body": body, "sha256": digest(body.encode())}))
        _use_cache(cache)

    return Subject(entry["body"].encode(), "json", read)


def configuration(folder: Path) -> Subject:
    path = folder / "config.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)

    def read(content: bytes) -> None:
        path.write_bytes(content)
        plan = Plan.of(SearchConfig.of(read_config(path)))
        if plan.config.searches < 10:
            plan.searches()

    return Subject(to_yaml(_config(folder)), "yaml", read)


SUBJECTS: dict[str, Callable[[Path], Subject]] = {
    "run.yaml": run_file,
    "ledger evaluation": _ledger_object("*candidate-0001.json"),
    "ledger evaluation, signed again": _signed_ledger_object("*candidate-0001.json"),
    "ledger decision": _ledger_object("*decision.json"),
    "ledger decision, signed again": _signed_ledger_object("*decision.json"),
    "ledger end": _ledger_object("*.end.json"),
    "ledger end, signed again": _signed_ledger_object("*.end.json"),
    "cell file": cell_file,
    "lease": lease_file,
    "cache entry": cache_entry,
    "cache entry, signed again": signed_cache_entry,
    "search configuration": configuration,
}
"""By name; each takes a folder of its own."""
