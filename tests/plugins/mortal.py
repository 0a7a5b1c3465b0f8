"""Language models whose processes say who they are, so that a test can kill them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from autoshrink_ray import register_space
from autoshrink_ray.topology import Topology
from search_spaces.rnn import RnnMacro, RnnSpace


class MortalMacro(RnnMacro):
    """An RNN's, and `folder`, in which each process that builds one leaves its number."""

    folder: str


class MortalSpace(RnnSpace):
    name = "mortal"
    Macro = MortalMacro

    def build(self, topology: Topology, macro: Any, shape: Any) -> Any:
        Path(macro.folder, f"pid-{os.getpid()}").touch()
        return super().build(topology, macro, shape)


SPACE = MortalSpace()
register_space("mortal", "tests.plugins.mortal:SPACE")
