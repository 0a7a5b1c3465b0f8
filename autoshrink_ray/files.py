"""All file names of a run, and the formats that other programs read."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator

from autoshrink_ray.errors import FileFormatError, NewerFormatError, TopologyError
from autoshrink_ray.records import Metrics
from autoshrink_ray.topology import Edge, Topology

CELL_SCHEMA_VERSION = 1

RUN = "run.yaml"
TRAIN = "train.yaml"
LEASE = "lease.json"
LEDGER = "ledger"
DAMAGED = "damaged"
EVALUATIONS = "evaluations.parquet"
BEST_CELL = "best.cell.json"
TENSORBOARD = "tensorboard"
REPORT = "report.html"


def attempt_folder(search: int, attempt: str) -> str:
    """Folder of what one driver attempt finished of one search."""
    return f"{LEDGER}/search-{search:03d}/{attempt}"


def evaluation_name(round_number: int, index: int) -> str:
    """File of one evaluation in an attempt's folder."""
    return f"round-{round_number:03d}-candidate-{index:04d}.json"


def decision_name(round_number: int) -> str:
    """File of one decision in an attempt's folder."""
    return f"round-{round_number:03d}-decision.json"


def decision_place(name: str) -> tuple[int, int] | None:
    """Search and round of the decision that the ledger object `name` holds; None if it is none."""
    found = re.fullmatch(rf"{LEDGER}/search-(\d+)/[^/]+/round-(\d+)-decision\.json", name)
    return (int(found[1]), int(found[2])) if found else None


def set_aside_name(name: str) -> str:
    """Where a damaged ledger object goes."""
    return f"{DAMAGED}/{name}"


def end_name(attempt: str) -> str:
    """File that says how a driver attempt ended."""
    return f"{LEDGER}/{attempt}.end.json"


def round_cell(search: int, round_number: int) -> str:
    """Cell file of a round's winner."""
    return f"cells/search-{search:03d}/round-{round_number:03d}.cell.json"


class CellFile(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """A `*.cell.json` file: one cell and where it comes from.

    Attributes:
        schema_version: Version of this format.
        space: Search space that the operations belong to.
        nodes: Number of nodes N.
        ops: Operation of each node.
        edges: Edges as pairs (i, j), i < j.
        score: Score in its search, if it comes from one.
        metrics: Metrics in its search or in its publication.
        provenance: Where it comes from: run, search, round, or a publication.
    """

    schema_version: int = Field(default=CELL_SCHEMA_VERSION, ge=1, le=CELL_SCHEMA_VERSION)
    space: str
    nodes: int
    ops: tuple[str, ...]
    edges: tuple[Edge, ...]
    score: float | None = None
    metrics: Metrics = {}
    provenance: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _is_a_cell(self) -> CellFile:
        if self.nodes != len(self.ops):
            raise ValueError(f"nodes is the number of ops, got {self.nodes} and {len(self.ops)}")
        try:
            _ = self.topology
        except TopologyError as error:
            raise ValueError(str(error)) from error
        return self

    @property
    def topology(self) -> Topology:
        """The cell as a value."""
        return Topology(self.ops, self.edges)

    @classmethod
    def of(cls, space: str, topology: Topology, **fields: Any) -> CellFile:
        """A cell file for `topology`."""
        return cls(
            space=space, nodes=topology.nodes, ops=topology.ops, edges=topology.edges, **fields
        )

    def to_json(self) -> bytes:
        """The file's content."""
        return (json.dumps(self.model_dump(mode="json"), indent=2) + "\n").encode()

    @classmethod
    def from_json(cls, content: bytes, name: str) -> CellFile:
        """Reads a cell file.

        Args:
            content: What is in the file.
            name: What error messages call it.

        Raises:
            FileFormatError: If it is damaged or from a newer version.
        """
        return parse_file(cls, content, name, CELL_SCHEMA_VERSION)


Model = TypeVar("Model", bound=BaseModel)

NOT_YAML = (
    *(yaml.YAMLError, ValueError, RecursionError),
    *(LookupError, AttributeError, OverflowError),  # of tags such as !!bool on other text
)
"""What PyYAML raises on text that is no YAML."""


def parse_file(model: type[Model], content: bytes, name: str, version: int) -> Model:
    """Reads a JSON file of schema version `version` at most.

    Raises:
        FileFormatError: If it is damaged or from a newer version.
    """
    try:
        data = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"{name} is not valid JSON: {error}") from error
    return _checked(model, data, name, version)


def to_yaml(model: BaseModel) -> bytes:
    """Content of a YAML file, in the order of the model's fields."""
    return yaml.safe_dump(model.model_dump(mode="json"), sort_keys=False).encode()


def parse_yaml(model: type[Model], content: bytes, name: str, version: int) -> Model:
    """Reads a YAML file of schema version `version` at most.

    Raises:
        FileFormatError: If it is damaged or from a newer version.
    """
    try:
        data = yaml.safe_load(content)
    except NOT_YAML as error:
        raise FileFormatError(f"{name} is damaged: {' '.join(str(error).split())}") from error
    return _checked(model, data, name, version)


def _checked(model: type[Model], data: Any, name: str, version: int) -> Model:
    refuse_newer(data, name, version)
    problem = unwieldy(data)
    if problem:
        raise FileFormatError(f"{name} is damaged: {problem}")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise FileFormatError(f"{name} is damaged: {explain(error)}") from error
    except TopologyError as error:
        raise FileFormatError(f"{name} is damaged: {error}") from error


_DEEPEST, _WIDEST = 50, 1_000_000
"""Levels of plain data, and lists and mappings on one of them: more than any file of ours has."""


def unwieldy(data: Any) -> str:
    """Why plain data is too much to handle: far too deep, or wide as an alias in YAML makes it."""
    level = [data] if isinstance(data, dict | list) else []
    for _ in range(_DEEPEST):
        parts = (node.values() if isinstance(node, dict) else node for node in level)
        values = (value for part in parts for value in part if isinstance(value, dict | list))
        level = list(itertools.islice(values, _WIDEST + 1))
        if len(level) > _WIDEST:
            return f"it has more than {_WIDEST:,} lists and mappings on one level"
        if not level:
            return ""
    return f"it has more than {_DEEPEST} levels"


def refuse_newer(data: Any, name: str, version: int) -> None:
    """Raises NewerFormatError if `data` declares a schema version above `version`."""
    found = data.get("schema_version") if isinstance(data, dict) else None
    if isinstance(found, int) and found > version:
        raise NewerFormatError(
            f"{name} has schema version {found}; this release reads up to {version}: "
            f"upgrade autoshrink_ray"
        )


def explain(error: ValidationError) -> str:
    """What pydantic found, as one line: where, what rule, what value."""
    parts = []
    for item in error.errors(include_url=False, include_context=False):
        place = ".".join(str(step) for step in item["loc"])
        value = "" if isinstance(item["input"], dict | list | tuple) else f", got {item['input']!r}"
        message = item["msg"].removeprefix("Value error, ")
        parts.append(f"{place}: {message}{value}" if place else message)
    return "; ".join(parts)


def digest(content: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()
