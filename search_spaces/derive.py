"""From a cell to a network: a preset says what stands around the cell, changes go on top."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

import yaml
from pydantic import ValidationError

from autoshrink_ray.contracts import ImageShape, SearchSpace, Settings, TextShape
from autoshrink_ray.errors import ConfigError, choices
from autoshrink_ray.files import CellFile, explain
from search_spaces.network import (
    ImageInput,
    NetworkFile,
    Shape,
    TextInput,
    macro_settings,
    named_space,
)

_INPUTS: dict[str, type[ImageInput] | type[TextInput]] = {"image": ImageInput, "text": TextInput}


@dataclass(frozen=True)
class Preset:
    """A network around any cell of a kind, without the cell.

    Attributes:
        name: What `--preset` calls it.
        task: Kind of network: `image` or `text`.
        recipe: Training recipe that it is meant for.
        macro: Settings that differ from the space's defaults.
        input: Shape of what goes in, and number of classes or words.
    """

    name: str
    task: str
    recipe: str
    macro: Mapping[str, Any]
    input: Mapping[str, int]


def preset_names(task: str | None = None) -> list[str]:
    """Names of the presets, sorted; those for networks of one task if it is given."""
    folder = resources.files("search_spaces") / "presets"
    files = (entry.name for entry in folder.iterdir())
    names = sorted(name.removesuffix(".yaml") for name in files if name.endswith(".yaml"))
    return [name for name in names if task is None or _read(name).task == task]


def preset_input(name: str) -> Mapping[str, int]:
    """Shape of what goes into a preset's network, and number of its classes or words.

    Raises:
        ConfigError: If there is no such preset.
    """
    if name not in preset_names():
        raise ConfigError(f"unknown preset {name!r}; choose one of {choices(preset_names())}")
    return _read(name).input


def read_preset(name: str, space: SearchSpace) -> Preset:
    """The preset called `name`, for a cell of `space`.

    Raises:
        ConfigError: If there is none, or it is for another kind of network.
    """
    fitting = preset_names(space.task)
    if name not in preset_names():
        raise ConfigError(f"unknown preset {name!r}; choose one of {choices(fitting)}")
    if name not in fitting:
        raise ConfigError(
            f"preset {name!r} is for {_read(name).task} networks, got a cell of space "
            f"{space.name!r}; choose one of {choices(fitting) or 'none: there is no preset'}"
        )
    return _read(name)


def _read(name: str) -> Preset:
    entry = resources.files("search_spaces") / "presets" / f"{name}.yaml"
    return Preset(name=name, **yaml.safe_load(entry.read_text()))


@dataclass(frozen=True)
class Derivation:
    """Everything that decides a network, checked.

    Attributes:
        cell: The cell.
        preset: What stands around it.
        space: The cell's search space.
        macro: Settings of preset and changes together.
        shape: Shape of the problem.
    """

    cell: CellFile
    preset: Preset
    space: SearchSpace
    macro: Settings
    shape: Shape

    @classmethod
    def of(
        cls,
        cell: CellFile,
        preset: str,
        macro: Mapping[str, Any] | None = None,
        input: Mapping[str, int] | None = None,
    ) -> Derivation:
        """Checks a cell, a preset, and the changes that go on top of it.

        Raises:
            ConfigError: If the preset is unknown or for another kind of network, a change names
                no setting, or a value breaks a rule.
            TopologyError: If the space does not have the cell.
        """
        space = named_space(cell.space)
        space.check(cell.topology)
        found = read_preset(preset, space)
        _refuse_unknown(macro or {}, space.Macro.model_fields, f"setting of space {space.name!r}")
        settings = macro_settings(space, {**found.macro, **(macro or {})})
        return cls(cell, found, space, settings, _shape(found, input or {}))

    def network(self, macro: Settings, **provenance: Any) -> NetworkFile:
        """The network file with the settings `macro` in place of the derivation's."""
        origin: dict[str, Any] = {"preset": self.preset.name, **provenance}
        origin["cell"] = self.cell.model_dump(include={"score", "metrics", "provenance"})
        return NetworkFile.of(
            self.cell.space,
            self.cell.topology,
            macro,
            self.shape,
            recipe=self.preset.recipe,
            provenance=origin,
        )


def derive(
    cell: CellFile,
    preset: str,
    *,
    macro: Mapping[str, Any] | None = None,
    input: Mapping[str, int] | None = None,
) -> NetworkFile:
    """The network that a preset puts around a cell.

    Args:
        cell: The cell.
        preset: `imagenet`, `cifar` or `digits` for image cells, `ptb` for recurrent cells.
        macro: Settings of the network around the cell that differ from the preset's.
        input: What differs from the preset's input: `channels`, `height`, `width` and `classes`
            of images, `vocabulary` of text.

    Raises:
        ConfigError: If the preset is unknown or for another kind of network, a change names no
            setting, or a value breaks a rule.
        TopologyError: If the cell's space does not have it.
    """
    derivation = Derivation.of(cell, preset, macro, input)
    return derivation.network(derivation.macro)


def _shape(preset: Preset, changes: Mapping[str, int]) -> Shape:
    model = _INPUTS[preset.task]
    _refuse_unknown(changes, model.model_fields, f"part of the input of {preset.task} networks")
    try:
        checked = model.model_validate({**preset.input, **changes})
    except ValidationError as error:
        raise ConfigError(f"input: {explain(error)}") from error
    if isinstance(checked, TextInput):
        return TextShape(checked.vocabulary)
    return ImageShape(**checked.model_dump())


def _refuse_unknown(changes: Mapping[str, Any], known: Mapping[str, Any], kind: str) -> None:
    unknown = [name for name in changes if name not in known]
    if unknown:
        raise ConfigError(f"{choices(unknown)} is no {kind}; choose from {choices(known)}")
