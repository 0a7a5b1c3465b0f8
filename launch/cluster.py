"""`autoshrink-ray cluster`: files that describe a Ray cluster, written and checked, offline."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from autoshrink_ray.errors import ConfigError, StorageError

_HELP = "Cluster files: write one from a few answers, check any of them. Nothing is contacted."

Cpus = Annotated[float | None, typer.Option(help="CPUs of a trial. (default 1, or the file's)")]
Gpus = Annotated[float | None, typer.Option(help="GPUs of a trial. (default the file's)")]


def render(
    provider: Annotated[str, typer.Option(help="aws, for ray up, or kuberay.")],
    gpu_type: Annotated[str, typer.Option(help="GPU of the workers: t4, a10g, l4, ...")],
    max_workers: Annotated[int | None, typer.Option(help="Most GPU workers. (default 8)")] = None,
    image: Annotated[str | None, typer.Option(help="Image with Ray's release in its tag.")] = None,
    spot: Annotated[
        bool | None,
        typer.Option(
            "--spot/--no-spot", help="Three of four workers as spot machines. (default on AWS)"
        ),
    ] = None,
    job: Annotated[bool, typer.Option("--job", help="A RayJob that runs one search.")] = False,
    cpus_per_trial: Cpus = None,
    gpus_per_trial: Annotated[
        float | None, typer.Option(help="GPUs of a trial. (default 0.25)")
    ] = None,
    storage: Annotated[str | None, typer.Option(help="URI of the runs.")] = None,
    name: Annotated[
        str | None, typer.Option(help="The cluster's name, with --job the run's.")
    ] = None,
    region: Annotated[str | None, typer.Option(help="AWS region.")] = None,
    security_group: Annotated[
        str | None, typer.Option(help="Id of the nodes' security group, on AWS.")
    ] = None,
    ami: Annotated[
        str | None, typer.Option(help="Machine image on AWS. (default AWS's newest for GPUs)")
    ] = None,
    namespace: Annotated[str | None, typer.Option(help="Kubernetes namespace.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write. (default stdout)")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
) -> None:
    """Write a cluster file: ray up on AWS, or a RayCluster or RayJob for Kubernetes."""
    from launch.clusters import answers
    from launch.clusters.hardware import machine
    from launch.clusters.render import render as rendered

    machine(provider, gpu_type)
    given = {
        "provider": provider,
        "gpu_type": gpu_type,
        "max_workers": max_workers,
        "image": image,
        "spot": provider == "aws" if spot is None else spot,
        "job": job,
        "cpus_per_trial": cpus_per_trial,
        "gpus_per_trial": gpus_per_trial,
        "storage": storage,
        "name": name,
        "region": region,
        "security_group": security_group,
        "ami": ami,
        "namespace": namespace,
    }
    _only_for(provider, "aws", region=region, security_group=security_group, ami=ami)
    _only_for(provider, "kuberay", namespace=namespace)
    text = rendered(answers.of({key: one for key, one in given.items() if one is not None}))
    if output is None:
        typer.echo(text, nl=False)
    else:
        _write(output, text, force)


def check(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Cluster files.")],
    cpus_per_trial: Cpus = None,
    gpus_per_trial: Gpus = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """Find what would go wrong with a cluster; exit code 1 if anything is an error."""
    from launch.clusters.check import check as found_in
    from launch.clusters.document import read
    from launch.clusters.rule import Level

    changes: dict[str, Any] = {
        key: _amount(key, one)
        for key, one in (("cpus_per_trial", cpus_per_trial), ("gpus_per_trial", gpus_per_trial))
        if one is not None
    }
    read_in = {file: read(file) for file in files}
    found = [
        (file, finding)
        for file, documents in read_in.items()
        for document in documents
        for finding in found_in(replace(document, wanted=replace(document.wanted, **changes)))
    ]
    if as_json:
        typer.echo(
            json.dumps([{"file": str(file), **asdict(one)} for file, one in found], indent=2)
        )
    else:
        console = Console()
        for file, one in found:
            colour = "red" if one.level is Level.ERROR else "yellow"
            where = escape(f"{file}: {one.path}: {one.wrong}; {one.remedy} [{one.rule}]")
            console.print(
                f"[{colour}]{one.level}[/{colour}] {where}", highlight=False, soft_wrap=True
            )
        for file in files:
            if file not in {at for at, _ in found}:
                console.print(
                    f"[green]ok[/green]    {escape(str(file))}", highlight=False, soft_wrap=True
                )
    if any(one.level is Level.ERROR for _, one in found):
        raise typer.Exit(1)


def _only_for(provider: str, owner: str, **options: str | None) -> None:
    for key, given in options.items():
        if given is not None and provider != owner:
            option = f"--{key.replace('_', '-')}"
            raise ConfigError(f"{option} is for --provider {owner}, got --provider {provider}")


def _amount(key: str, value: float) -> float:
    if not 0 <= value <= 1000:
        raise ConfigError(f"--{key.replace('_', '-')} must be from 0 to 1000, got {value:g}")
    return value


def _write(path: Path, text: str, force: bool) -> None:
    try:
        with path.open("w" if force else "x") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigError(f"{path} exists; --force overwrites it") from None
    except OSError as error:
        raise StorageError(f"{path}: cannot be written: {error.strerror}") from None


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    group = typer.Typer(help=_HELP, no_args_is_help=True)
    group.command()(render)
    group.command()(check)
    app.add_typer(group, name="cluster")
