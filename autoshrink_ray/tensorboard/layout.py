"""The CUSTOM SCALARS page: the few charts that matter, in front of all others."""

from __future__ import annotations

import re

from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.custom_scalar import metadata
from tensorboard.plugins.custom_scalar.layout_pb2 import (
    Category,
    Chart,
    Layout,
    MultilineChartContent,
)

from autoshrink_ray.tensorboard import tags
from autoshrink_ray.tensorboard.events import string_value


def layout(quality: str) -> Summary.Value:
    """The page's charts.

    Args:
        quality: Metric that training gives.
    """
    found = Layout(
        category=[
            Category(
                title="The search",
                chart=[
                    _chart("score by round", tags.BEST_SCORE, tags.MEAN_SCORE),
                    _chart(f"{quality} of each round's winner", tags.quality(quality)),
                    _chart("MACs of each round's winner", tags.MACS),
                    _chart("edges left", tags.EDGES),
                ],
            ),
            Category(
                title="The work",
                chart=[
                    _chart("seconds per round", tags.SECONDS),
                    _chart("workers busy", tags.BUSY),
                    _chart("failures and cache hits by round", tags.FAILURES, tags.CACHE_HITS),
                    _chart("best score by evaluation", tags.BEST_SO_FAR),
                ],
            ),
            Category(
                title="The candidates",
                chart=[_chart(f"{quality} by epoch", tags.curve(quality))],
                closed=True,
            ),
        ]
    )
    content = found.SerializeToString()
    return string_value(metadata.CONFIG_SUMMARY_TAG, metadata.PLUGIN_NAME, content)


def _chart(title: str, *names: str) -> Chart:
    patterns = [f"^{re.escape(name)}$" for name in names]
    return Chart(title=title, multiline=MultilineChartContent(tag=patterns))
