"""Why a round ended as it did, in words."""

from __future__ import annotations

from autoshrink_ray.analysis.noise import Noise
from autoshrink_ray.analysis.rounds import CandidateLine, RoundView
from autoshrink_ray.objective import Objective
from autoshrink_ray.wording import edge


def why(view: RoundView, noise: Noise, objective: Objective) -> str:
    """A few sentences: what went or won, by how much, against whom, and what that is worth.

    Args:
        view: The round.
        noise: The run's noise.
        objective: The run's score.
    """
    winner = view.winner
    if winner is None:
        return _nothing(view)
    parts = [_outcome(view, winner), _points(winner, objective), _lead(view, noise)]
    return " ".join(part for part in parts if part)


def _nothing(view: RoundView) -> str:
    if view.failed:
        return f"Nothing is decided: {len(view.failed)} of {len(view.lines)} candidates failed."
    return f"Nothing is decided: none of {len(view.lines)} candidates is evaluated."


def _outcome(view: RoundView, winner: CandidateLine) -> str:
    done = "" if view.decision else f" so far, with {len(view.missing)} candidates to come"
    if winner.candidate.removed is None:
        return f"Candidate {winner.candidate.index} won{done}: it scores {winner.score:.4f}."
    what = "went" if view.decision else "leads"
    return (
        f"Edge {name(winner)} {what}{done}: without it the cell scores {winner.score:.4f}, "
        f"the best of {len(view.ranked)}."
    )


def _points(winner: CandidateLine, objective: Objective) -> str:
    if winner.quality_term is None or winner.cost_term is None:
        return ""
    gives = "takes" if winner.cost_term >= 0 else "adds"
    return (
        f"Its {objective.quality_metric} gives {winner.quality_term:.4f} points, "
        f"its cost {gives} {abs(winner.cost_term):.4f}."
    )


def _lead(view: RoundView, noise: Noise) -> str:
    rival, margin = view.runner_up, view.margin
    if rival is None or margin is None:
        return "It had no rival with a usable score."
    if margin == 0:
        return f"It ties with {name(rival)}: fewer MACs, leaves or edges, or the draw decided."
    return f"It leads {name(rival)} by {margin:.4f}{_worth(margin, noise)}. {_because(view)}"


def _worth(margin: float, noise: Noise) -> str:
    units = noise.units(margin)
    if units is None:
        return ""
    verdict = "" if units >= 1 else ", so chance may have decided"
    return f", {units:.1f} times the noise ({noise.source}){verdict}"


def _because(view: RoundView) -> str:
    """Which term the lead over the runner-up comes from."""
    winner, rival = view.ranked[0], view.ranked[1]
    terms = (winner.quality_term, rival.quality_term, winner.cost_term, rival.cost_term)
    if any(term is None for term in terms):
        return ""
    quality, other_quality, cost, other_cost = (term or 0.0 for term in terms)
    return (
        f"Of that lead {quality - other_quality:+.4f} is quality and {other_cost - cost:+.4f} cost."
    )


def name(line: CandidateLine) -> str:
    """A candidate as people call it: by the edge that went, or by its place in the draw."""
    return edge(line.candidate.removed) or f"candidate {line.candidate.index}"
