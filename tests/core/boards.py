"""What TensorBoard's own reader finds in a run's streams."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata

from autoshrink_ray import Run

TIMES = {"work/seconds", "work/workers busy"}
"""Tags that say how long something took."""


def log(run: Run) -> Path:
    """A run's log directory."""
    return Path(run.folder.path, "tensorboard")


def streams(place: Path) -> dict[str, EventAccumulator]:
    """Everything below a log directory, by stream."""
    found = {}
    for folder in sorted({path.parent for path in place.rglob("events.out.tfevents.*")}):
        everything = dict.fromkeys(("scalars", "images", "tensors"), 0)
        accumulator = EventAccumulator(str(folder), size_guidance=everything)
        accumulator.Reload()
        found[str(folder.relative_to(place))] = accumulator
    return found


def scalars(stream: EventAccumulator) -> dict[str, list[tuple[int, float]]]:
    """Steps and values of each tag."""
    tags = stream.Tags()["scalars"]
    return {tag: [(e.step, e.value) for e in stream.Scalars(tag)] for tag in tags}


def pictures(stream: EventAccumulator) -> dict[str, list[int]]:
    """Steps of each picture."""
    return {tag: [e.step for e in stream.Images(tag)] for tag in stream.Tags()["images"]}


def hparams(stream: EventAccumulator) -> dict[str, bytes]:
    """What a stream says for the HPARAMS page, by tag."""
    try:
        return dict(stream.PluginTagToContent("hparams"))
    except KeyError:
        return {}


def row(stream: EventAccumulator) -> dict[str, Any] | None:
    """What a stream says of itself on the HPARAMS page."""
    content = hparams(stream).get(metadata.SESSION_START_INFO_TAG)
    if content is None:
        return None
    start = metadata.parse_session_start_info_plugin_data(content)
    return {
        name: getattr(value, str(value.WhichOneof("kind"))) for name, value in start.hparams.items()
    }


def rows(place: Path) -> dict[str, dict[str, Any]]:
    """All rows of the HPARAMS page, by stream."""
    found = {name: row(stream) for name, stream in streams(place).items()}
    return {name: cells for name, cells in found.items() if cells is not None}


def shown(place: Path) -> dict[str, Any]:
    """All that does not depend on time: scalars, the rounds' pictures, the last of each figure."""
    return {
        name: (
            {tag: values for tag, values in scalars(stream).items() if tag not in TIMES},
            {tag: steps if tag == "cell" else steps[-1] for tag, steps in pictures(stream).items()},
            [(e.step) for e in stream.Tensors("found cell")]
            if "found cell" in stream.Tags()["tensors"]
            else [],
            row(stream),
        )
        for name, stream in streams(place).items()
    }
