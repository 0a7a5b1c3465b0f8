"""Training recipes: the base of their settings, and the ones that we ship as YAML deltas."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Annotated, Any, ClassVar, Literal, TypeVar

import yaml
from pydantic import Field, ValidationError

from autoshrink_ray.contracts import Settings
from autoshrink_ray.errors import ConfigError, choices
from autoshrink_ray.files import explain

Count = Annotated[int, Field(ge=1)]


class Recipe(Settings):
    """Settings that every recipe has.

    Attributes:
        task: Kind of network that it trains: `image` or `text`.
        epochs: Epochs at most.
        batch_size: Images, or columns of text, of a step, all processes together.
        rollbacks: How often a training that diverges goes back to its best checkpoint before it
            gives up.
        release: Whose weights are shipped: those of the `best` epoch or of the `last` one.
        deterministic: Whether only algorithms are used that always give the same bits.
    """

    task: ClassVar[str]

    epochs: Count
    batch_size: Count
    rollbacks: Annotated[int, Field(ge=0)] = 0
    release: Literal["best", "last"] = "last"
    deterministic: bool = True

    def local_batch(self, processes: int) -> int:
        """What one of several processes takes of a step.

        Raises:
            ConfigError: If they cannot have equally much.
        """
        if self.batch_size % processes:
            raise ConfigError(
                f"batch_size is a multiple of the number of workers, so that each has as much: "
                f"got {self.batch_size} and {processes}"
            )
        return self.batch_size // processes


AnyRecipe = TypeVar("AnyRecipe", bound=Recipe)


def recipe_names() -> list[str]:
    """Names of the recipes, sorted."""
    folder = resources.files("trainables.final") / "recipes"
    names = (entry.name for entry in folder.iterdir())
    return sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml"))


def recipe(kind: type[AnyRecipe], name: str, changes: Mapping[str, Any]) -> AnyRecipe:
    """The recipe called `name` with `changes` on top.

    Raises:
        ConfigError: If there is no such recipe, it is for another kind of network, a key is
            unknown or a value breaks a rule.
    """
    if name not in recipe_names():
        raise ConfigError(f"unknown recipe {name!r}; choose one of {choices(recipe_names())}")
    entry = resources.files("trainables.final") / "recipes" / f"{name}.yaml"
    settings: dict[str, Any] = yaml.safe_load(entry.read_text()) or {}
    task = settings.pop("task")
    if task != kind.task:
        raise ConfigError(f"recipe {name!r} is for {task} networks, got a network for {kind.task}")
    unknown = [key for key in changes if key not in kind.model_fields]
    if unknown:
        raise ConfigError(
            f"unknown recipe setting {choices(unknown)}; choose from {choices(kind.model_fields)}"
        )
    try:
        return kind.model_validate({**settings, **changes})
    except ValidationError as error:
        raise ConfigError(f"recipe {name!r}: {explain(error)}") from error
