"""`*.network.json`: a cell with the network around it, as data that describes itself completely."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel, Field, ValidationError, model_validator

from autoshrink_ray import plugins
from autoshrink_ray.contracts import ImageShape, SearchSpace, Settings, TextShape
from autoshrink_ray.errors import AutoshrinkError, ConfigError, choices
from autoshrink_ray.files import digest, explain, parse_file
from autoshrink_ray.topology import Edge, Topology

NETWORK_SCHEMA_VERSION = 1

Shape = ImageShape | TextShape


class ImageInput(BaseModel, frozen=True, extra="forbid"):
    """Images of one size, and the classes to tell apart."""

    channels: int = Field(ge=1, le=1024)
    height: int = Field(ge=1, le=65536)
    width: int = Field(ge=1, le=65536)
    classes: int = Field(ge=2, le=10_000_000)


class TextInput(BaseModel, frozen=True, extra="forbid"):
    """Words of a vocabulary."""

    vocabulary: int = Field(ge=2, le=100_000_000)


class NetworkFile(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """A `*.network.json` file: everything that a network is built from.

    Reading one checks it: the cell, the settings, and that the stated costs are those of the
    network that they describe.

    Attributes:
        schema_version: Version of this format.
        space: Search space that the cell belongs to.
        ops: Operation of each node of the cell.
        edges: Edges of the cell as pairs (i, j), i < j.
        macro: Settings of the network around the cell, complete.
        input: What goes in, and how many classes or words come out.
        costs: `macs`, `params` and further costs, as the space counts them.
        recipe: Training recipe that the network is meant for.
        provenance: Where the cell comes from.
    """

    schema_version: int = Field(default=NETWORK_SCHEMA_VERSION, ge=1, le=NETWORK_SCHEMA_VERSION)
    space: str
    ops: tuple[str, ...]
    edges: tuple[Edge, ...]
    macro: dict[str, Any]
    input: ImageInput | TextInput
    costs: dict[str, int]
    recipe: str
    provenance: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _describes_a_network(self) -> NetworkFile:
        try:
            costs = network_costs(named_space(self.space), self.topology, self.macro, self.shape)
        except AutoshrinkError as error:
            raise ValueError(str(error)) from error
        if costs != self.costs:
            raise ValueError(
                f"costs are those of the network that the file describes, {costs}; "
                f"got {self.costs}: derive the network again"
            )
        return self

    @property
    def topology(self) -> Topology:
        """The cell as a value."""
        return Topology(self.ops, self.edges)

    @property
    def shape(self) -> Shape:
        """The problem's shape, as a search space takes it."""
        if isinstance(self.input, TextInput):
            return TextShape(self.input.vocabulary)
        return ImageShape(**self.input.model_dump())

    @property
    def task(self) -> str:
        """What the network is for: `image`, `text`, or a task of the user's own."""
        return plugins.space(self.space).task

    @property
    def macro_settings(self) -> Settings:
        """The settings around the cell, validated."""
        return macro_settings(plugins.space(self.space), self.macro)

    @property
    def sha256(self) -> str:
        """Digest of what the network computes: cell, settings and input, not its origin."""
        parts = self.model_dump(mode="json", include={"space", "ops", "edges", "macro", "input"})
        return digest(json.dumps(parts, sort_keys=True).encode())

    @classmethod
    def of(
        cls,
        space: str,
        topology: Topology,
        macro: Settings,
        shape: Shape,
        *,
        recipe: str,
        provenance: dict[str, Any] | None = None,
    ) -> NetworkFile:
        """The file of the network that these parts describe.

        Raises:
            TopologyError: If the space does not have the cell.
        """
        settings = macro.model_dump(mode="json")
        return cls(
            space=space,
            ops=topology.ops,
            edges=topology.edges,
            macro=settings,
            input=_input(shape),
            costs=plugins.space(space).cost(topology, macro, shape),
            recipe=recipe,
            provenance=provenance or {},
        )

    def to_json(self) -> bytes:
        """The file's content."""
        return (json.dumps(self.model_dump(mode="json"), indent=2) + "\n").encode()

    @classmethod
    def from_json(cls, content: bytes, name: str) -> NetworkFile:
        """Reads a network file.

        Args:
            content: What is in the file.
            name: What error messages call it.

        Raises:
            FileFormatError: If it is damaged, contradicts itself or is from a newer version.
        """
        return parse_file(cls, content, name, NETWORK_SCHEMA_VERSION)


def macro_settings(space: SearchSpace, settings: dict[str, Any]) -> Settings:
    """The settings of the network around a cell of `space`.

    Raises:
        ConfigError: With each unknown key and each value that breaks a rule.
    """
    try:
        return space.Macro.model_validate(settings)
    except ValidationError as error:
        raise ConfigError(f"macro: {explain(error)}") from error


def named_space(name: str) -> SearchSpace:
    """The search space that a file calls `name`.

    A file cannot say which module is imported: names have to be known already.

    Raises:
        ConfigError: If there is no such space.
    """
    known = plugins.space_names()
    if name not in known:
        raise ConfigError(
            f"unknown search space {name!r}; choose one of {choices(known)}, "
            f"or give the module that registers it with --plugin"
        )
    return plugins.space(name)


def network_costs(
    space: SearchSpace, topology: Topology, macro: dict[str, Any], shape: Shape
) -> dict[str, int]:
    """Costs of a network as its space counts them.

    Raises:
        ConfigError: If the input is not the space's, or a setting breaks a rule.
        TopologyError: If the space does not have the cell.
    """
    kind = "text" if isinstance(shape, TextShape) else "image"
    if space.task in ("image", "text") and space.task != kind:
        raise ConfigError(
            f"the input of space {space.name!r} is {space.task}, got the input of {kind} networks"
        )
    return space.cost(topology, macro_settings(space, macro), shape)


def _input(shape: Shape) -> ImageInput | TextInput:
    if isinstance(shape, TextShape):
        return TextInput(vocabulary=shape.vocabulary)
    return ImageInput(
        channels=shape.channels, height=shape.height, width=shape.width, classes=shape.classes
    )
