"""How long a search takes and what it costs on so many workers, before any are asked for."""

from autoshrink_ray.forecast.costs import Row, recommended, rows
from autoshrink_ray.forecast.overheads import MEASURED, NONE, Overheads
from autoshrink_ray.forecast.seconds import Drawn, Recorded, Source
from autoshrink_ray.forecast.simulate import Simulated, simulate

__all__ = [
    "MEASURED",
    "NONE",
    "Drawn",
    "Overheads",
    "Recorded",
    "Row",
    "Simulated",
    "Source",
    "recommended",
    "rows",
    "simulate",
]
