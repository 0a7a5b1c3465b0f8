"""`autoshrink-ray report`: a search as one HTML file."""

from __future__ import annotations

from typing import Annotated

import typer

from autoshrink_ray.config import DEFAULT_STORAGE
from autoshrink_ray.report import report as run_report
from autoshrink_ray.results import Run


def report(run: str, storage: str = DEFAULT_STORAGE, output: Annotated[str | None, typer.Option("-o")] = None) -> None:
    """x"""
