"""AutoShrink on Ray Tune: progressive shrinking of neural cells, from one laptop to a cluster.

>>> from autoshrink_ray import SearchConfig, run_search
>>> run = run_search(SearchConfig.from_preset("demo"))  # doctest: +SKIP
>>> run.best.topology.edges  # doctest: +SKIP
"""

from importlib.metadata import PackageNotFoundError, version

from autoshrink_ray.config import SearchConfig
from autoshrink_ray.contracts import (
    DataRequest,
    Evaluator,
    ImageShape,
    ProxyData,
    ProxyTask,
    SearchSpace,
    Settings,
    TextShape,
)
from autoshrink_ray.errors import AutoshrinkError
from autoshrink_ray.files import CellFile
from autoshrink_ray.objective import Objective
from autoshrink_ray.observing import RunObserver
from autoshrink_ray.plugins import register_dataset, register_space
from autoshrink_ray.records import Candidate, Decision, Evaluation, Measurement
from autoshrink_ray.results import Run
from autoshrink_ray.run import run_search
from autoshrink_ray.topology import Topology

try:
    __version__ = version("autoshrink-ray")
except PackageNotFoundError:  # code that was uploaded to a cluster is not installed
    __version__ = "0+uploaded"

__all__ = [
    "AutoshrinkError",
    "Candidate",
    "CellFile",
    "DataRequest",
    "Decision",
    "Evaluation",
    "Evaluator",
    "ImageShape",
    "Measurement",
    "Objective",
    "ProxyData",
    "ProxyTask",
    "Run",
    "RunObserver",
    "SearchConfig",
    "SearchSpace",
    "Settings",
    "TextShape",
    "Topology",
    "__version__",
    "register_dataset",
    "register_space",
    "run_search",
]
