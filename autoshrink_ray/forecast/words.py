"""What a forecast says, in words."""

from __future__ import annotations

from autoshrink_ray.forecast.costs import WORTH_IT, Row
from autoshrink_ray.wording import plural


def duration(seconds: float) -> str:
    """`45 s`, `12 min`, `3.4 h`, `2.5 d`."""
    for size, unit, least in ((86400, "d", 172800), (3600, "h", 7200), (60, "min", 120)):
        if seconds >= least:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def advice(chosen: Row, widest: int) -> list[str]:
    """How many workers to ask for, and how many are of use.

    Args:
        chosen: The recommended row.
        widest: Workers beyond which none has anything to do.
    """
    enough = chosen.utilisation >= WORTH_IT
    why = "the most of these" if enough else "the fewest of these, and even they do not"
    verb = "that train" if enough else "train"
    return [
        f"Recommended: {plural(chosen.workers, 'worker')}, {why} {verb} at least "
        f"{WORTH_IT:.0%} of the time.",
        f"More than {plural(widest, 'worker')} never have anything to do.",
    ]
