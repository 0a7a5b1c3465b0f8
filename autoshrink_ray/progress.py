"""Progress of a run in the terminal: a line per round, and a live view where there is a screen."""

from __future__ import annotations

from typing import ClassVar

from rich.console import Console, RenderableType

from autoshrink_ray.conductor import Conductor
from autoshrink_ray.config import DEFAULT_STORAGE
from autoshrink_ray.contracts import ProxyData
from autoshrink_ray.ledger import MemoryLedger
from autoshrink_ray.observing import RunObserver
from autoshrink_ray.panel import Panel
from autoshrink_ray.plan import Plan
from autoshrink_ray.records import Decision, Evaluation
from autoshrink_ray.results import Run
from autoshrink_ray.standing import Standing
from autoshrink_ray.terminal import LiveConsole
from autoshrink_ray.wording import edge, metrics_text, plural
from autoshrink_ray.work import Activity


class ConsoleProgress(LiveConsole, RunObserver):
    """Prints what happens; plain lines where the output is no terminal.

    Args:
        console: Where to print.
    """

    refreshes: ClassVar[float] = 4

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._many = False
        self._standing: Standing | None = None

    def on_start(self, run: Run, plan: Plan, data: ProxyData) -> None:
        self._many = plan.config.searches > 1
        self._standing = Standing(plan, run.ledger) if self.is_live else None
        self.say(run.folder.location)
        self.say(f"{plan.space.name} on {data.summary}")
        if not plan.deterministic:
            self.say("fast algorithms: the same search may give other last digits again")
        if run.ledger.evaluations:
            self.say(f"resuming {self._resuming(run, plan)}")
        if plan.config.tensorboard != "off":
            usual = plan.config.storage == DEFAULT_STORAGE
            place = run.name if usual else run.folder.location
            self.say(f"to watch it: autoshrink-ray tensorboard {place}")

    def live(self) -> RenderableType:
        """Where the run stands; one line until it has started."""
        if self._standing is None:
            return super().live()
        return Panel(self._standing.snapshot(self.seconds), self.seconds)

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
        if self._standing is not None:
            self._standing.evaluated(evaluation, self.seconds)
        if not evaluation.complete:
            self.say(f"{_where(evaluation)} failed: {evaluation.measurement.reason}")

    def on_decision(self, decision: Decision) -> None:
        if self._standing is not None:
            self._standing.decided(decision)
        self.say(self._round_line(decision))

    def on_activity(self, activity: Activity) -> None:
        if self._standing is not None:
            self._standing.active(activity)

    def _round_line(self, decision: Decision) -> str:
        search = f"search {decision.search}, " if self._many else ""
        tried = len(decision.ranking) + len(decision.failed)
        what = f"edge {edge(decision.removed)} of {tried} tried goes, " if decision.removed else ""
        return (
            f"{search}round {decision.round}: {what}{metrics_text(decision)}, "
            f"{plural(len(decision.topology.edges), 'edge')} left"
        )


def _where(evaluation: Evaluation) -> str:
    search, number, index = evaluation.candidate.place
    return f"search {search}, round {number}, candidate {index}"
