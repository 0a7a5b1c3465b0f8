"""Search algorithms: state machines that ask for candidates and are told their evaluations.

A policy is pure: no Ray, no files, no clock, no global random state. The same configuration and
seed give the same decisions, whoever drives it and in whatever order results come.
"""

from autoshrink_ray.policies.base import Policy, RoundPolicy
from autoshrink_ray.policies.random import RandomPolicy
from autoshrink_ray.policies.shrink import ShrinkPolicy

__all__ = ["Policy", "RandomPolicy", "RoundPolicy", "ShrinkPolicy"]
