"""Progress of a run in the terminal: a line per round, and a live line where there is a screen."""

from __future__ import annotations

from rich.console import Console

from autoshrink_ray.conductor import Conductor
from autoshrink_ray.config import DEFAULT_STORAGE
from autoshrink_ray.contracts import ProxyData
from autoshrink_ray.ledger import MemoryLedger
from autoshrink_ray.plan import Plan
from autoshrink_ray.policies.base import best_decision
from autoshrink_ray.records import Decision, Evaluation
from autoshrink_ray.results import Run
from autoshrink_ray.run import RunObserver
from autoshrink_ray.terminal import LiveConsole


class ConsoleProgress(LiveConsole, RunObserver):
    """Prints what happens; plain lines where the output is no terminal.

    Args:
        console: Where to print.
    """

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._decisions: list[Decision] = []
        self._done: dict[tuple[int, int], int] = {}
        self._plan: Plan | None = None
        self._trained = 0

    def on_start(self, run: Run, plan: Plan, data: ProxyData) -> None:
        self._plan = plan
        self._decisions = list(run.ledger.decisions.values())
        for search, number, _ in run.ledger.evaluations:
            self._done[search, number] = self._done.get((search, number), 0) + 1
        self.say(run.folder.location)
        self.say(f"{plan.space.name} on {data.summary}")
        if not plan.deterministic:
            self.say("fast algorithms: the same search may give other last digits again")
        if run.ledger.evaluations:
            self.say(f"resuming {self._resuming(run, plan)}")
        if plan.config.tensorboard != "off":
            usual = plan.config.storage == DEFAULT_STORAGE
            self.say(f"autoshrink-ray tensorboard {run.name if usual else run.folder.location}")
        self._refresh()

    def on_notice(self, text: str) -> None:
        self.say(text)

    def _resuming(self, run: Run, plan: Plan) -> str:
        """Where earlier attempts left off: `round 4, 7 of 10 evaluated`."""
        conductor = Conductor(dict(enumerate(plan.searches())), MemoryLedger())
        conductor.replay(run.ledger)
        open_rounds = []
        for number, search in conductor.searches.items():
            if not search.policy.finished:
                drawn, left = len(search.policy.propose()), len(conductor.missing(number))
                which = f"search {number}, " if self._many else ""
                where = f"round {len(search.policy.decisions) + 1}"
                open_rounds.append(f"{which}{where}, {drawn - left} of {drawn} evaluated")
        return "; ".join(open_rounds) or "with all rounds decided"

    def on_evaluation(self, evaluation: Evaluation) -> None:
        place = evaluation.candidate.place[:2]
        self._done[place] = self._done.get(place, 0) + 1
        self._trained += not evaluation.cached
        if not evaluation.complete:
            self.say(f"{_where(evaluation)} failed: {evaluation.measurement.reason}")
        self._refresh()

    def on_decision(self, decision: Decision) -> None:
        self._decisions.append(decision)
        self.say(self._round_line(decision))
        self._refresh()

    def _round_line(self, decision: Decision) -> str:
        search = f"search {decision.search}, " if self._many else ""
        tried = len(decision.ranking) + len(decision.failed)
        what = f"edge {edge(decision.removed)} of {tried} tried goes, " if decision.removed else ""
        return (
            f"{search}round {decision.round}: {what}{metrics_text(decision)}, "
            f"{len(decision.topology.edges)} edges left"
        )

    @property
    def _many(self) -> bool:
        return self._plan is not None and self._plan.config.searches > 1

    def _refresh(self) -> None:
        if self.is_live:
            self.show(self._live_line())

    def _live_line(self) -> str:
        best = best_decision(self._decisions)
        parts = [f"{self._trained} trained in {self.seconds:.0f} s"]
        closed = {decision.search: decision.round for decision in self._decisions}
        searches = self._plan.config.searches if self._plan else 0
        for search in range(min(searches, 4)):
            number = closed.get(search, 0) + 1
            parts.append(f"round {number}: {self._done.get((search, number), 0)} evaluated")
        if best is not None:
            parts.append(f"best score {best.score:.4f}")
        return " · ".join(parts)


def edge(pair: tuple[int, int] | None) -> str:
    """An edge as people write it."""
    return f"{pair[0]}-{pair[1]}" if pair else ""


def metrics_text(decision: Decision) -> str:
    """Score, quality and cost of a round's winner."""
    metrics = decision.metrics
    quality = [
        f"{name} {metrics[name]:{form}}"
        for name, form in (("accuracy", ".3f"), ("perplexity", ".1f"))
        if name in metrics
    ]
    macs = [f"{int(metrics['macs']):,} MACs"] if "macs" in metrics else []
    return ", ".join([f"score {decision.score:.4f}", *quality, *macs])


def _where(evaluation: Evaluation) -> str:
    search, number, index = evaluation.candidate.place
    return f"search {search}, round {number}, candidate {index}"
