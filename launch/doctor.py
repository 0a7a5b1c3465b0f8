"""`autoshrink-ray doctor`: is this machine, or that cluster, ready for a search?"""

from __future__ import annotations

import json
import os
import secrets
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, redirect_stdout
from importlib.metadata import version
from platform import python_version
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from autoshrink_ray import plugins
from autoshrink_ray.config import DEFAULT_STORAGE, SearchConfig
from autoshrink_ray.plan import Plan
from autoshrink_ray.run import run_search
from autoshrink_ray.storage import Folder
from launch import options
from launch.findings import Findings

if TYPE_CHECKING:
    from autoshrink_ray.preflight.checks import Survey

_GIB = 2**30


def doctor(
    space: Annotated[str, typer.Option(help="Search space to try.")] = "cnn",
    data: Annotated[str | None, typer.Option(help="Data set. (default the space's own)")] = None,
    storage: Annotated[str, typer.Option(help="Folder or URI of the runs.")] = DEFAULT_STORAGE,
    address: Annotated[str | None, typer.Option(help="Ray cluster. (default this machine)")] = None,
    cpus_per_trial: Annotated[float, typer.Option(help="CPUs of a trial.")] = 1,
    gpus_per_trial: Annotated[float, typer.Option(help="GPUs of a trial.")] = 0,
    modules: options.Plugins = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check versions, resources, storage and data, and search with one candidate.

    On a cluster, every node that could hold a trial is asked for its releases, and whether it
    shares the storage. The exit code is 1 if a check fails.
    """
    config = SearchConfig.of(
        {
            "space": space,
            "data": data,
            "nodes": 2,
            "candidates": 1,
            "proxy": _shortest(space, modules or ()),
            "cpus_per_trial": cpus_per_trial,
            "gpus_per_trial": gpus_per_trial,
            "address": address,
            "storage": storage,
            "plugins": tuple(modules or ()),
        }
    )
    findings = Findings(Console(quiet=as_json))
    with redirect_stdout(sys.stderr) if as_json else nullcontext():  # Ray's words are no JSON
        _examine(findings, config)
    if as_json:
        typer.echo(json.dumps(findings.plain(), indent=2))
    if not findings.ready:
        raise typer.Exit(1)


def _shortest(space: str, modules: Sequence[str]) -> dict[str, int]:
    """Proxy settings of a training that is soon over."""
    for module in modules:
        plugins.load_plugin(module)
    task = plugins.task(plugins.space(space).task)
    return {"epochs": 1} if "epochs" in task.Proxy.model_fields else {}


def _examine(findings: Findings, config: SearchConfig) -> None:
    findings.check("versions", _versions)
    with ExitStack() as stack:
        own = _connected(findings, config.address, stack)
        if own is not None:
            findings.check("resources", lambda: _resources(config, own=own))
        writable = findings.check("storage", lambda: _storage(config.storage))
        survey = _survey(findings, config) if own is False and writable else None
        findings.check("data", lambda: Plan.of(config).load_data().summary)
        if own:
            findings.check("one candidate", lambda: _one_candidate(config))
        elif survey is not None and survey.reports and findings.ready:
            findings.check("one candidate", lambda: _one_candidate_there(config))
        else:
            findings.note("no candidate was tried: that takes a node, and checks that pass")


def _connected(findings: Findings, address: str | None, stack: ExitStack) -> bool | None:
    """Whether the cluster is our own; None if there is none."""
    from autoshrink_ray.cluster import connection

    address = address or os.environ.get("RAY_ADDRESS")
    if address in (None, "local"):
        return stack.enter_context(connection(address))
    own = findings.attempt("cluster", lambda: stack.enter_context(connection(address)))
    if own is not None:
        findings.check("cluster", lambda: f"{address} takes this process")
    return own


def _survey(findings: Findings, config: SearchConfig) -> Survey | None:
    """Asks every node that could hold a trial."""
    from autoshrink_ray.executors.tune import needs
    from autoshrink_ray.preflight.checks import survey

    found = findings.attempt("nodes", lambda: survey(needs(Plan.of(config)), findings.note))
    if found is not None:
        findings.show_nodes(_rows(found))
        for check in found.checks:
            findings.check(check.name, check.run)
    return found


def _rows(survey: Survey) -> list[dict[str, Any]]:
    return [
        {
            "node": report.node.name,
            **{name: report.releases.get(name, "-") for name in ("python", "ray", "torch")},
            "CPUs": report.node.resources.get("CPU", 0),
            "GPUs": report.node.resources.get("GPU", 0),
        }
        for report in survey.reports
    ]


def _versions() -> str:
    packages = ", ".join(f"{name} {version(name)}" for name in ("ray", "torch"))
    return f"Python {python_version()}, {packages}"


def _resources(config: SearchConfig, *, own: bool) -> str:
    from autoshrink_ray.cluster import Resources, node_resources, require_fitting_node

    if not own:
        require_fitting_node(Resources(config.cpus_per_trial, config.gpus_per_trial))
    nodes = node_resources()
    cpus, gpus, memory = (
        sum(node.get(kind, 0) for node in nodes) for kind in ("CPU", "GPU", "memory")
    )
    return f"{len(nodes)} nodes, {cpus:g} CPUs, {gpus:g} GPUs, {memory / _GIB:.1f} GiB for trials"


def _storage(location: str) -> str:
    folder = Folder(location)
    folder.check_writable()
    return f"{folder.location} can be written, read and deleted in"


def _one_candidate(config: SearchConfig) -> str:
    with tempfile.TemporaryDirectory(prefix="autoshrink-ray-doctor-") as scratch:
        return _trained(config, scratch)


def _one_candidate_there(config: SearchConfig) -> str:
    """On a cluster the run's folder is in the storage that all share, for a moment."""
    with _scratch(Folder(config.storage)) as scratch:
        return _trained(config, scratch.location)


@contextmanager
def _scratch(storage: Folder) -> Iterator[Folder]:
    folder = storage.child(f".doctor-{secrets.token_hex(8)}")
    try:
        yield folder
    finally:
        if folder.exists():
            folder.delete()


def _trained(config: SearchConfig, storage: str) -> str:
    run = run_search(config, storage=storage)
    row = run.table.to_pylist()[0]
    return f"trained in {row['seconds']:.1f} s on {row['device']} of {row['node']}"


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(doctor)
