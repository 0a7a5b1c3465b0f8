"""A configuration with every default filled in and every name looked up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import ValidationError

from autoshrink_ray import plugins
from autoshrink_ray.conductor import Search
from autoshrink_ray.config import EXECUTION, SearchConfig
from autoshrink_ray.contracts import DataRequest, ProxyData, ProxyTask, SearchSpace, Settings
from autoshrink_ray.errors import ConfigError, choices
from autoshrink_ray.files import explain
from autoshrink_ray.objective import Objective, objective
from autoshrink_ray.policies import Policy, RandomPolicy, ShrinkPolicy
from autoshrink_ray.policies.shrink import last_size
from autoshrink_ray.topology import Topology


@dataclass(frozen=True)
class Plan:
    """What a run will do. Built on the driver, and again on each worker from `config`.

    Attributes:
        config: Configuration without a None that means "the space's default"; its `space` is a
            `module:attribute`.
        space: The search space.
        task: The proxy task.
        macro: Settings of the network around the cell.
        proxy: Settings of the proxy training.
        objective: Score to maximise.
    """

    config: SearchConfig
    space: SearchSpace
    task: ProxyTask
    macro: Settings
    proxy: Settings
    objective: Objective

    @classmethod
    def of(cls, config: SearchConfig) -> Plan:
        """The plan for a configuration.

        Raises:
            ConfigError: If a name is unknown or a setting breaks a rule.
        """
        for module in config.plugins:
            plugins.load_plugin(module)
        space = plugins.space(config.space)
        task = plugins.task(space.task)
        macro = _settings(space.Macro, config.macro, "macro")
        proxy = _settings(task.Proxy, config.proxy, "proxy")
        keep = space.keep_fraction if config.algorithm == "shrink" else None
        resolved = config.model_copy(
            update={
                "space": plugins.space_reference(config.space),
                "nodes": config.nodes or space.nodes,
                "keep_fraction": config.keep_fraction or keep,
                "data": config.data or space.data,
                "macro": macro.model_dump(mode="json"),
                "proxy": proxy.model_dump(mode="json"),
            }
        )
        if config.tensorboard is None:
            many = most_candidates(resolved) > FULLY_SHOWN
            mode = "summary" if many else "full"
            resolved = resolved.model_copy(update={"tensorboard": mode})
        scored = objective(task.objective, config.cost_weight)
        return cls(resolved, space, task, macro, proxy, scored)

    @property
    def threads(self) -> int:
        """CPU threads of one training."""
        return max(1, int(self.config.cpus_per_trial))

    @property
    def deterministic(self) -> bool:
        """Whether trainings give the same bits again; a task that has no such setting does."""
        return bool(getattr(self.proxy, "deterministic", True))

    def load_data(self) -> ProxyData:
        """Reads and checks the proxy data.

        Raises:
            ConfigError: If the data set is unknown.
            DataError: If it is missing or broken.
        """
        request = DataRequest(spec=str(self.config.data), options=self.proxy.model_dump())
        return self.task.load(request, self.space, self.macro, self.proxy)

    def search_seed(self, search: int) -> int:
        """Seed of one search: search 0 of many equals a single search."""
        return self.config.seed + search

    def initial(self, search: int) -> Topology:
        """Complete cell that one search starts from, its operations drawn from its seed."""
        nodes = self.config.nodes or self.space.nodes
        return self.space.initial(nodes, self.search_seed(search))

    def searches(self) -> list[Search]:
        """Fresh state of all searches."""
        return [self._search(number) for number in range(self.config.searches)]

    def _search(self, number: int) -> Search:
        chosen = self.config.evaluation_seed
        seed = self.search_seed(number) if chosen is None else chosen
        return Search(self._policy(number), seed)

    def _policy(self, number: int) -> Policy:
        initial, seed = self.initial(number), self.search_seed(number)
        if self.config.algorithm == "random":
            return RandomPolicy(
                initial,
                budget=self.config.budget or 1,
                objective=self.objective,
                seed=seed,
                search=number,
            )
        return ShrinkPolicy(
            initial,
            candidates=self.config.candidates,
            keep_fraction=self.config.keep_fraction or self.space.keep_fraction,
            objective=self.objective,
            seed=seed,
            search=number,
        )

    def identity(self, fingerprint: str) -> dict[str, Any]:
        """Everything that can change a number, as plain data."""
        settings = self.config.model_dump(mode="json", exclude=set(EXECUTION))
        settings["space"] = self.space.name
        settings["objective"] = self.objective.name
        settings["cost_weight"] = self.objective.cost_weight
        settings["macro"] = self.macro.model_dump(mode="json", exclude=set(self.macro.paths))
        settings["proxy"] = self.proxy.model_dump(mode="json", exclude=set(self.proxy.paths))
        settings["data_fingerprint"] = fingerprint
        settings["threads"] = self.threads
        settings["gpu"] = self.config.gpus_per_trial > 0
        for resource in ("cpus_per_trial", "gpus_per_trial"):
            del settings[resource]
        if self.config.algorithm == "random":
            del settings["candidates"]
        return settings


FULLY_SHOWN = 300
"""Candidates of a run up to which TensorBoard shows each by default."""


def most_candidates(config: SearchConfig) -> int:
    """How many candidates a run has at most; `config` names nodes and what to keep."""
    if config.budget is not None:
        return config.budget * config.searches
    edges = (config.nodes or 0) * ((config.nodes or 0) - 1) // 2
    left = range(last_size(config.keep_fraction or 1, edges) + 1, edges + 1)
    return max(1, sum(min(config.candidates, size) for size in left)) * config.searches


Chosen = TypeVar("Chosen", bound=Settings)


def _settings(model: type[Chosen], values: dict[str, Any], section: str) -> Chosen:
    unknown = [key for key in values if key not in model.model_fields]
    if unknown:
        raise ConfigError(
            f"unknown {section} setting {choices(unknown)}; "
            f"choose from {choices(sorted(model.model_fields))}"
        )
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"{section}: {explain(error)}") from error
