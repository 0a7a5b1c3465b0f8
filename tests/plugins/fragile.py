"""Image cells whose networks meet the fate that a setting names: for tests of failing trials."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any, Literal

import torch

from autoshrink_ray import register_space
from search_spaces.cnn import CnnMacro, CnnSpace


class FragileMacro(CnnMacro):
    """The settings of image cells, and what becomes of the network.

    Attributes:
        fate: `dies` kills the process that builds it, but only `deaths` times.
        deaths: How often.
        folder: Where deaths are counted.
    """

    fate: Literal["fine", "diverges", "fills memory", "raises", "dies"] = "fine"
    deaths: int = 1
    folder: str = ""


class FragileSpace(CnnSpace):
    """The space of image cells."""

    name = "fragile"
    Macro = FragileMacro

    def build(self, topology: Any, macro: Any, shape: Any) -> Any:
        if macro.fate == "fills memory":
            raise MemoryError("no memory for this one")
        if macro.fate == "raises":
            raise ZeroDivisionError("no luck with this one")
        if macro.fate == "dies":
            _die(Path(macro.folder), macro.deaths)
        network = super().build(topology, macro, shape)
        if macro.fate == "diverges":
            with torch.no_grad():
                next(network.parameters()).fill_(torch.nan)
        return network


def _die(folder: Path, deaths: int) -> None:
    died = len(list(folder.glob("death-*")))
    if died < deaths:
        (folder / f"death-{died}").touch()
        os.kill(os.getpid(), signal.SIGKILL)


SPACE = FragileSpace()
register_space("fragile", "tests.plugins.fragile:SPACE")
