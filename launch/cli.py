"""The command `autoshrink-ray`: a thin layer over the Python API."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from typer.core import TyperGroup

from autoshrink_ray import __version__
from autoshrink_ray.errors import AutoshrinkError
from launch import (
    cluster,
    doctor,
    draw,
    evaluate,
    explain,
    export,
    inspect,
    networks,
    plan,
    report,
    search,
    submit,
    tensorboard,
    train,
    tune,
    verify,
)

_INTERRUPTED = 130


class _Commands(TyperGroup):
    """Turns our errors into one message and an exit code, without a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except AutoshrinkError as error:
            Console(stderr=True).print(
                f"[bold red]error:[/bold red] {escape(str(error))}", highlight=False, soft_wrap=True
            )
            raise SystemExit(error.exit_code) from None
        except KeyboardInterrupt:
            raise SystemExit(_INTERRUPTED) from None


app = typer.Typer(
    cls=_Commands,
    name="autoshrink-ray",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    add_completion=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"autoshrink-ray {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Progressive shrinking of neural cells (AutoShrink, AAAI 2020) on Ray Tune.

    Start with [bold]autoshrink-ray search --preset demo[/bold].
    """


_MODULES = (
    *(search, plan, inspect, explain, draw, report, tensorboard, verify),
    *(networks, train, tune, evaluate, export),
    *(cluster, submit, doctor),
)

for module in _MODULES:
    module.register(app)


def main() -> None:
    """Entry point of the command."""
    app()
