"""How a run's best cell is used further: the commands that its report shows."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from autoshrink_ray.report import Command
from autoshrink_ray.results import Run
from search_spaces.derive import preset_input

_PRESETS = {"digits": "digits", "cifar10": "cifar"}
"""Presets of networks for data sets by their names."""

_BY_SIZE = ((16, "digits"), (64, "cifar"))
"""Presets for other images up to a height and width; for larger ones `imagenet`."""

_OWN_SPACES = "search_spaces."
"""Modules of the spaces that the presets are for."""

_FOLDERS = ("parquet", "imagefolder", "text")
"""Data sets whose argument is a folder."""

_IMAGES = re.compile(r"of (\d+) x (\d+) x (\d+), ([\d,]+) classes")
_WORDS = re.compile(r"vocabulary of ([\d,]+)")
"""How the line that sums data up tells their shape: `trainables.data.sets`."""

_LONGEST = 92
"""Letters of a run's name that leave room for ours behind it."""


@dataclass(frozen=True)
class _Shape:
    """Shape of the data as the search saw them.

    Attributes:
        values: Parts of a network's input, as presets have them.
        size: The larger of height and width of images; 0 for text, and where the search brought
            images to a size that is not their own.
    """

    values: dict[str, int]
    size: int = 0


def commands(run: Run) -> list[Command]:
    """How a run's best cell becomes a file, a network and a trained network.

    Only the first of them for data that are neither images nor text: full training knows no others.
    """
    location, name = shlex.quote(run.folder.location), _file_name(run.name)
    best = f"autoshrink-ray best {location} -o {name}.cell.json"
    found = [Command("The cell as a file", best)]
    shape = _shape(run)
    if shape is None:
        return found
    network, plugins, preset = f"{name}.network.json", _plugins(run), _preset(run, shape)
    fits = "" if preset else " (PRESET is one that fits the search space)"
    derive = f"autoshrink-ray derive {location} --preset {preset or 'PRESET'}"
    train = f"autoshrink-ray train {network}{_data(run, preset)}{plugins}"
    return [
        *found,
        Command(
            f"A network around it{fits}", f"{derive}{_input(shape, preset)}{plugins} -o {network}"
        ),
        Command("Trained in full", f"{train} --name {name[:_LONGEST]}-trained"),
    ]


def _plugins(run: Run) -> str:
    return "".join(f" --plugin {shlex.quote(str(p))}" for p in run.file.config.get("plugins", ()))


def _shape(run: Run) -> _Shape | None:
    """What the run's line about its data tells; None if they are neither images nor text."""
    summary = run.file.data_summary
    if found := _IMAGES.search(summary):
        height, width, channels = (int(part) for part in found.groups()[:3])
        values = {"channels": channels, "classes": _number(found[4])}
        own = run.file.config.get("proxy", {}).get("image_size") is None
        return _Shape(values, max(height, width) if own else 0)
    if found := _WORDS.search(summary):
        return _Shape({"vocabulary": _number(found[1])})
    return None


def _number(text: str) -> int:
    return int(text.replace(",", ""))


def _preset(run: Run, shape: _Shape) -> str:
    """The preset for the run's space and data; empty for spaces that are not ours."""
    if not str(run.file.config.get("space", "")).startswith(_OWN_SPACES):
        return ""
    if "vocabulary" in shape.values:
        return "ptb"
    by_size = (preset for most, preset in _BY_SIZE if 0 < shape.size <= most)
    return _PRESETS.get(_data_set(run), next(by_size, "imagenet"))


def _input(shape: _Shape, preset: str) -> str:
    """Options for what the preset's input has otherwise."""
    usual = preset_input(preset) if preset else {}
    options = {name: value for name, value in shape.values.items() if usual.get(name) != value}
    if shape.size and usual.get("height") != shape.size:
        options["image-size"] = shape.size
    return "".join(f" --{name} {value}" for name, value in options.items())


def _data_set(run: Run) -> str:
    return str(run.file.config["data"]).partition(":")[0]


def _data(run: Run, preset: str) -> str:
    """Options for the run's data, folders by their whole paths where they are found from here."""
    name, colon, argument = str(run.file.config["data"]).partition(":")
    place = _whole(argument) if name in _FOLDERS else argument
    words = ["--data", f"{name}{colon}{place}"]
    proxy = run.file.config.get("proxy", {})
    if proxy.get("data_dir"):
        words += ["--data-dir", _whole(str(proxy["data_dir"]))]
    if preset == "imagenet" and name == "parquet" and proxy.get("image_size"):
        # the search was told a size, perhaps because the images differ in theirs
        words += ["--set", f"image_size={preset_input(preset)['height']}"]
    return "".join(f" {shlex.quote(word)}" for word in words)


def _whole(location: str) -> str:
    is_here = "://" not in location and Path(location).expanduser().exists()
    return str(Path(location).expanduser().absolute()) if is_here else location


def _file_name(name: str) -> str:
    """A run's name as a file name, safe in a shell."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in name)
