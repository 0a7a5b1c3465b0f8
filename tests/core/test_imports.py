"""What importing the search costs: neither torch nor, until it is needed, Ray."""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import autoshrink_ray

NEEDS_RAY = {
    "autoshrink_ray.autoscaler",
    "autoshrink_ray.cluster",
    "autoshrink_ray.executors.tune",
    "autoshrink_ray.scheduler",
}


def modules() -> list[str]:
    found = pkgutil.walk_packages(autoshrink_ray.__path__, "autoshrink_ray.")
    return ["autoshrink_ray", *(module.name for module in found)]


def loaded_by(names: list[str]) -> set[str]:
    """Top-level packages that a fresh interpreter has loaded after importing `names`."""
    code = f"import sys, {', '.join(names)}; print(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_core_loads_neither_torch_nor_ray() -> None:
    names = [name for name in modules() if name not in NEEDS_RAY]
    assert len(names) > 15
    loaded = loaded_by(names)
    assert "pyarrow" in loaded
    assert not loaded & {"torch", "torchvision", "ray"}
    assert not loaded & {"search_spaces", "trainables", "launch"}


def test_what_runs_on_ray_loads_no_torch_either() -> None:
    assert set(modules()) >= NEEDS_RAY
    loaded = loaded_by(sorted(NEEDS_RAY))
    assert "ray" in loaded
    assert not loaded & {"torch", "torchvision", "search_spaces", "trainables", "launch"}
