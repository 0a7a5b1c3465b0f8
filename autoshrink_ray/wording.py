"""Numbers of things, edges and results as people write them."""

from __future__ import annotations

from autoshrink_ray.records import Decision


def plural(number: int, noun: str) -> str:
    """`1 round`, `2 rounds`, `1,000 searches`."""
    ending = "es" if noun.endswith(("ch", "sh", "s", "x")) else "s"
    return f"{number:,} {noun}{'' if number == 1 else ending}"


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
