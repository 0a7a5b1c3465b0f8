"""What a report says of a run as pairs of a name and a value: answer, cost, where it comes from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from autoshrink_ray.analysis import CostAccount, Noise, cost_account
from autoshrink_ray.report.numbers import (
    NONE,
    count,
    duration,
    hours,
    metric,
    moment,
    points,
    quality,
)
from autoshrink_ray.results import Run, SearchResult
from autoshrink_ray.wording import plural


@dataclass(frozen=True)
class Fact:
    """A value.

    Attributes:
        name: What it is.
        value: The value as text.
        note: What it means, where that is not plain.
    """

    name: str
    value: str
    note: str = ""


STATUS = {
    "finished": "finished",
    "failed": "failed",
    "interrupted": "interrupted",
    "open": "not finished: still going, or its driver was killed",
}
"""What a run's status says to a reader."""


def algorithm(run: Run) -> str:
    """What found the answer."""
    name = str(run.file.identity.get("algorithm", NONE))
    return {"shrink": "progressive shrinking", "random": "random search"}.get(name, name)


def lede(run: Run) -> str:
    """The answer in a sentence; empty before the first decision."""
    best = run.best
    if best is None:
        return ""
    name, left = run.objective.quality_metric, len(best.topology.edges)
    where = f" of search {best.search}" if len(run.searches) > 1 else ""
    return (
        f"Round {best.round}{where} gave the best cell: {plural(left, 'edge')} of "
        f"{complete_edges(run)}, {name} {quality(name, best.metrics.get(name))}, "
        f"{metric(best.metrics, 'macs')} MACs."
    )


def search_words(search: SearchResult) -> str:
    """A search in a line."""
    words = f"Search {search.number}, seed {search.seed}, {search.status}"
    best = search.best
    if best is None:
        return f"{words}: no round is decided"
    name = search.run.objective.quality_metric
    found = f"score {points(best.score)}, {name} {quality(name, best.metrics.get(name))}"
    return f"{words}: {found} in round {best.round} of {len(search.rounds)}"


def answer_facts(run: Run) -> list[Fact]:
    """Score, quality, MACs and parameters of the best cell; none before the first decision."""
    best = run.best
    if best is None:
        return []
    name, proxy = run.objective.quality_metric, "of the proxy network"
    return [
        Fact("score", points(best.score), score_rule(run)),
        Fact(name, quality(name, best.metrics.get(name)), "after proxy training, on validation"),
        Fact("MACs", metric(best.metrics, "macs"), proxy),
        Fact("parameters", metric(best.metrics, "params"), proxy),
        Fact("edges", count(len(best.topology.edges)), f"of {complete_edges(run)} at the start"),
    ]


def complete_edges(run: Run) -> int:
    """Edges of the complete cell."""
    nodes = int(run.file.identity["nodes"])
    return nodes * (nodes - 1) // 2


def score_rule(run: Run) -> str:
    """The run's score as a formula."""
    rule = run.objective
    gain = "accuracy" if rule.name == "accuracy" else f"quality of {rule.quality_metric}"
    if rule.name == "perplexity":
        gain = "0.25 (200 - perplexity)"
    cost = {"macs": "MACs", "cost": "|E| H²"}.get(rule.cost_metric, rule.cost_metric)
    return f"{gain} - {rule.cost_weight:g} (log10 {cost} - 6)"


def cost_facts(run: Run) -> list[Fact]:
    """The cost account.

    Raises:
        ConfigError: If the configuration in `run.yaml` is none.
    """
    account = cost_account(run)
    return [*_work(account), *_time(account)]


def _work(account: CostAccount) -> Iterator[Fact]:
    yield Fact("candidates evaluated", count(account.evaluations))
    yield Fact("trials", count(account.trials), "trainings begun, lost ones included")
    yield Fact("cache hits", count(account.cache_hits), "results that another run had shared")
    yield Fact("copies", count(account.copies), "results of an isomorphic candidate of this run")
    yield Fact("failed candidates", count(account.failed), "evaluated, but without a result")
    yield Fact("lost trials", count(account.lost), "worker lost or out of memory; tried again")


def _time(account: CostAccount) -> Iterator[Fact]:
    share = f"{account.devices_per_trial:g} {account.device} a trial"
    yield Fact(f"{account.device}-hours", hours(account.device_hours), f"of training, {share}")
    yield Fact("time of training", duration(account.training_seconds), "summed over the trials")
    yield Fact("wall time", duration(account.wall_seconds), "summed over the driver's attempts")
    yield Fact(
        "lost to queueing",
        duration(account.queueing_seconds),
        "from hand-out to start, summed over the trials",
    )
    yield Fact(
        "lost to barriers",
        duration(account.barrier_seconds),
        "workers that waited for a round to end",
    )
    yield Fact(
        "lost to failures", duration(account.failed_seconds), "training of failed candidates"
    )
    yield Fact(
        "lost with trials", duration(account.lost_seconds), "from the start of each to its loss"
    )


def provenance(run: Run, noise: Noise) -> list[Fact]:
    """Where a run's numbers come from."""
    identity, file = run.file.identity, run.file
    seeds = ", ".join(str(search.seed) for search in run.searches[:20])
    more = ", …" if len(run.searches) > 20 else ""
    return [
        Fact("created", file.created),
        Fact("last result", _last_result(run)),
        Fact("search space", run.space),
        Fact("algorithm", str(identity.get("algorithm", NONE))),
        Fact("data", f"{file.config['data']}: {file.data_summary}"),
        Fact("data fingerprint", str(identity["data_fingerprint"])),
        Fact("seeds", seeds + more),
        Fact("machines", "; ".join(run.machines) or NONE),
        *(Fact(name, version) for name, version in file.versions.items()),
        Fact("attempts of the driver", _attempts(run)),
        Fact("noise of scores", _noise(noise)),
        Fact("folder", run.folder.location),
    ]


def _last_result(run: Run) -> str:
    ended = [e.ended for e in run.ledger.evaluations.values() if e.ended > 0]
    return moment(max(ended)) if ended else NONE


def _attempts(run: Run) -> str:
    ends = (run.ledger.ends.get(attempt) for attempt in run.ledger.attempts)
    told = [end.status if end else "no end recorded" for end in ends]
    return f"{len(told)} ({', '.join(told)})" if told else "0"


def _noise(noise: Noise) -> str:
    if noise.value is None:
        return f"unknown: {noise.source}"
    return f"{points(noise.value)}, from {noise.source}"


def settings(run: Run) -> dict[str, str]:
    """The configuration, nested keys joined by dots, in its own order."""
    return dict(_flat(run.file.config))


def _flat(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        name = f"{above}{key}"
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{name}.")
        else:
            yield name, plain(value)


def plain(value: Any) -> str:
    """A setting as text."""
    if isinstance(value, list | tuple):
        return ", ".join(map(plain, value)) or "none"
    return "not set" if value in (None, "", {}) else str(value)


def warnings(run: Run) -> list[str]:
    """What a reader has to know before they trust the numbers."""
    found = []
    if run.status != "finished":
        why = f": {run.message}" if run.message else ""
        found.append(
            f"This run is {STATUS[run.status]}{why}. What is shown is what its record has."
        )
    if run.best is None:
        found.append("No round is decided yet, so there is no answer.")
    if len(run.machines) > 1:
        kinds = plural(len(run.machines), "kind")
        found.append(f"Trained on {kinds} of machines: last digits may not be comparable.")
    damaged = run.ledger.damaged
    found += [f"Damaged: {one.name}: {one.reason}." for one in damaged[:5]]
    if len(damaged) > 5:
        found.append(f"{len(damaged) - 5} more objects of the ledger are damaged.")
    return found
