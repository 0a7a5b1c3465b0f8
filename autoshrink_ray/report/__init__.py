"""Reports: a run, or several side by side, as one HTML file that needs nothing else."""

from autoshrink_ray.report.compare import comparison
from autoshrink_ray.report.report import Command, report

__all__ = ["Command", "comparison", "report"]
