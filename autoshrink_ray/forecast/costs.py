"""What a number of workers takes, costs and is worth: a row each, over several draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from autoshrink_ray.forecast.simulate import Simulated
from autoshrink_ray.packing import Shape, gpus_for

WORTH_IT = 0.5
"""Part of the paid time that has to be training for a number of workers to be recommended."""


@dataclass(frozen=True)
class Row:
    """A number of workers. Figures are medians over the draws.

    Attributes:
        workers: Trials at once.
        wall: Seconds from the command to its return.
        least: The shortest draw's.
        most: The longest draw's.
        utilisation: Part of the workers' time that is training.
        busy_hours: GPU hours of training; 0 where trials have no GPU.
        paid_hours: Hours that whole GPUs are held: one that workers share is paid whole, too.
        cost: `paid_hours` at the price; None without a price.
    """

    workers: int
    wall: float
    least: float
    most: float
    utilisation: float
    busy_hours: float
    paid_hours: float
    cost: float | None


def rows(
    draws: Mapping[int, Sequence[Simulated]], gpus: float, price: float | None = None
) -> list[Row]:
    """A row for each number of workers, the fewest first.

    Args:
        draws: Simulated runs by number of workers, at least one each.
        gpus: GPUs of a worker, perhaps a part of one.
        price: Of a GPU and hour.
    """
    return [_row(workers, draws[workers], gpus, price) for workers in sorted(draws)]


def _row(workers: int, draws: Sequence[Simulated], gpus: float, price: float | None) -> Row:
    walls = [draw.wall for draw in draws]
    wall = median(walls)
    paid = gpus_for(workers, Shape(0, gpus)) * wall / 3600
    return Row(
        workers=workers,
        wall=wall,
        least=min(walls),
        most=max(walls),
        utilisation=median(_utilisation(draw, workers) for draw in draws),
        busy_hours=median(draw.busy for draw in draws) * gpus / 3600,
        paid_hours=paid,
        cost=None if price is None else paid * price,
    )


def _utilisation(draw: Simulated, workers: int) -> float:
    return draw.busy / (workers * draw.wall) if draw.wall else 0.0


def recommended(found: Sequence[Row]) -> Row:
    """The row with the most workers that train at least half of the time; else the fewest workers.

    Args:
        found: At least one row.
    """
    fewest = min(found, key=lambda row: row.workers)
    worth = (row for row in found if row.utilisation >= WORTH_IT)
    return max(worth, key=lambda row: row.workers, default=fewest)
