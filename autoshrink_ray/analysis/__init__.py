"""Why a search went the way it did: functions of a run, read from its record alone."""

from autoshrink_ray.analysis.costs import CostAccount, cost_account
from autoshrink_ray.analysis.edges import EdgeImportance, edge_importance
from autoshrink_ray.analysis.front import ParetoPoint, pareto
from autoshrink_ray.analysis.noise import Noise, noise
from autoshrink_ray.analysis.rounds import CandidateLine, RoundView, round_view, round_views
from autoshrink_ray.analysis.words import why

__all__ = [
    "CandidateLine",
    "CostAccount",
    "EdgeImportance",
    "Noise",
    "ParetoPoint",
    "RoundView",
    "cost_account",
    "edge_importance",
    "noise",
    "pareto",
    "round_view",
    "round_views",
    "why",
]
