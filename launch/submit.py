"""`autoshrink-ray submit`, `status`, `logs` and `stop`: runs as jobs of a Ray cluster."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from autoshrink_ray.errors import ConfigError
from launch.jobs.attempts import Job, find, next_id, of_run
from launch.jobs.client import JobServer
from launch.jobs.code import stage
from launch.jobs.follow import ended, follow
from launch.jobs.progress import Progress, progress
from launch.jobs.request import STOP_SECONDS, STOP_SIGNAL, Request, parse
from launch.options import option

EXAMPLES = """
[bold]Examples[/bold]

  autoshrink-ray submit -- search --preset paper-cnn --name night --storage s3://bucket/runs

  autoshrink-ray submit --image-code --follow -- search my.yaml --storage s3://bucket/runs

  autoshrink-ray submit --address http://127.0.0.1:8265 -- train big.network.json --storage /nfs/r

The same command submitted again goes on with the run. See status, logs and stop.
"""

_OUTCOMES = {"SUCCEEDED": 0, "FAILED": 1, "STOPPED": 130}
_FAREWELL = f"stopped by {STOP_SIGNAL}"
"""What a driver says that was asked to stop and has left its run in good order."""

Address = Annotated[
    str | None,
    option(
        "URL of the cluster's dashboard. (default RAY_API_SERVER_ADDRESS, RAY_ADDRESS, else "
        "http://127.0.0.1:8265)",
        None,
    ),
]
Name = Annotated[str, typer.Argument(metavar="RUN|JOB", help="Name of a run, or id of a job.")]
Follow = Annotated[bool, option("Show what it prints until it ends.", None, "--follow", "-f")]


def submit(
    command: Annotated[
        list[str],
        typer.Argument(metavar="-- COMMAND ...", help="search, train or tune with its options."),
    ],
    address: Address = None,
    working_dir: Annotated[
        Path | None, option("Folder of the code that is uploaded. (default this one)", None)
    ] = None,
    image_code: Annotated[
        bool, option("The cluster's image has the code: upload none.", None, "--image-code")
    ] = False,
    wait: Annotated[bool, option("Wait until the job has ended.", None, "--wait")] = False,
    follow_log: Follow = False,
) -> None:
    """Send a run's driver to a cluster's head as a Ray job, or go on with the run of that name."""
    if image_code and working_dir is not None:
        raise ConfigError("--image-code uploads no code and --working-dir does: choose one")
    request = parse(command)
    with tempfile.TemporaryDirectory(prefix="autoshrink-ray-job-") as scratch:
        code = None if image_code else working_dir or Path()
        stage(Path(scratch), code, request.inputs)
        server = JobServer.at(address)
        job_id = _send(server, request, scratch)
    typer.echo(
        f"submitted {job_id}: run {request.run} in {request.storage}"
        f"{'; its name was made up: give it to go on with the run' if request.fresh else ''}"
    )
    if follow_log:
        job = follow(server, job_id, _write)
    elif wait:
        job = ended(server, job_id)
    else:
        typer.echo(f"  autoshrink-ray logs {job_id} -f")
        return
    _say_end(job)
    wrong_input = job.status == "FAILED" and job.exit_code == ConfigError.exit_code
    raise typer.Exit(ConfigError.exit_code if wrong_input else _OUTCOMES[job.status])


def _send(server: JobServer, request: Request, folder: str) -> str:
    _require_same_ray(server)
    job_id = next_id(server.jobs(), request.run)
    runtime_env: dict[str, object] = {"env_vars": request.env_vars()}
    if any(Path(folder).iterdir()):
        runtime_env["working_dir"] = folder
    server.submit(job_id, request.entrypoint, runtime_env, request.metadata)
    return job_id


def _require_same_ray(server: JobServer) -> None:
    import ray

    if server.ray_version != ray.__version__:
        raise ConfigError(
            f"the cluster at {server.address} runs Ray {server.ray_version}, and this release "
            f"needs {ray.__version__} on driver and nodes: start the cluster with that version"
        )


def status(
    name: Annotated[
        str | None, typer.Argument(metavar="[RUN|JOB]", help="Only this run, and how far it is.")
    ] = None,
    address: Address = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """Show a cluster's jobs, or those of a run and how far it is."""
    jobs = JobServer.at(address).jobs()
    found: Progress | str | None = None
    if name is not None:
        chosen = find(jobs, name)
        jobs = [chosen] if chosen.id == name else of_run(jobs, name)
        found = progress(chosen)
    if as_json:
        known = found.to_dict() if isinstance(found, Progress) else None
        rows = [job.to_dict() for job in jobs]
        typer.echo(json.dumps({"jobs": rows, "progress": known}, indent=2))
        return
    console = Console()
    if jobs:
        console.print(_table(jobs))
    else:
        console.print("no jobs: send one with autoshrink-ray submit")
    if found is not None:
        console.print(f"{jobs[-1].run or jobs[-1].id}: {found}", highlight=False, markup=False)


def _table(jobs: list[Job]) -> Table:
    table = Table()
    for column in ("job", "run", "status", "started", "seconds", "storage"):
        table.add_column(column, overflow="fold")
    for job in jobs:
        row = [job.id, job.run or "-", job.status.lower(), *_times(job), job.storage or "-"]
        table.add_row(*map(escape, row))
    return table


def _times(job: Job) -> tuple[str, str]:
    """When it began, in the time of this machine, and for how many seconds it ran."""
    if job.started is None:
        return "-", "-"
    begun = datetime.fromtimestamp(job.started / 1000, UTC).astimezone()
    end = job.ended / 1000 if job.ended else time.time()
    return f"{begun:%d %b %H:%M}", f"{end - job.started / 1000:.0f}"


def logs(name: Name, address: Address = None, follow_log: Follow = False) -> None:
    """Show what a job's driver has printed; of a run, its latest job's."""
    server = JobServer.at(address)
    job = find(server.jobs(), name)
    if not follow_log:
        _write(server.log(job.id))
        return
    _say_end(follow(server, job.id, _write))


def stop(
    name: Name,
    address: Address = None,
    wait: Annotated[bool, typer.Option(help="Wait until it has ended, and say how.")] = True,
) -> None:
    """Stop a run in good order: what is finished is in its ledger, and it can go on.

    Ends with 0 if the driver said so, and with 1 if it failed or had to be killed.
    """
    server = JobServer.at(address)
    job = find(server.jobs(), name)
    if not job.active:
        raise ConfigError(
            f"there is nothing to stop: the job {job.id} has {job.status.lower()} already"
        )
    server.stop(job.id)
    typer.echo(f"asked {job.id} to stop; it may take up to {STOP_SECONDS} s")
    if not wait:
        return
    job = ended(server, job.id)
    typer.echo(f"{job.run or job.id}: {progress(job)}")
    if job.status == "STOPPED" and _FAREWELL not in server.log(job.id):
        typer.echo(
            f"{job.id} ended without a word, before it had begun or killed after {STOP_SECONDS} s; "
            f"what its ledger holds is kept, and the same submit goes on from there",
            err=True,
        )
        raise typer.Exit(1)
    _say_end(job)
    raise typer.Exit(1 if job.status == "FAILED" else 0)


def _say_end(job: Job) -> None:
    goes_on = "" if job.status == "SUCCEEDED" else "; the same command submitted again goes on"
    why = f": {job.message}" if job.status == "FAILED" and job.message else ""
    typer.echo(f"{job.id} has {job.status.lower()}{why}{goes_on}")


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    rest = {"allow_interspersed_args": False}
    app.command(epilog=EXAMPLES, context_settings=rest)(submit)
    for command in (status, logs, stop):
        app.command()(command)
