"""`--format torch-export`: a `.pt2` archive without a pickle in it."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import torch
from torch.export import Dim, ExportedProgram

from autoshrink_ray.errors import RunError, choices
from trainables.export.card import BATCH
from trainables.export.unit import Runner, Tensors, Unit, as_tuple


def trace(unit: Unit) -> ExportedProgram:
    """The unit's computation as a graph, for every batch size from 1."""
    batch = Dim(BATCH, min=1)
    program = torch.export.export(
        unit.module, unit.example, dynamic_shapes=tuple({0: batch} for _ in unit.example)
    )
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # names folders of the machine that exports
    return program


class TorchExportFile:
    """Graph and weights as `torch.export.load` reads them."""

    suffix = ".pt2"
    opset = None

    @property
    def runtime(self) -> str:
        """What runs a file."""
        return f"torch {torch.__version__}"

    def write(self, unit: Unit, path: Path) -> None:
        """Writes the unit as a file.

        Raises:
            RunError: If this release of torch puts a pickle into the file.
        """
        program = trace(unit)
        program.example_inputs = None  # torch would pickle them
        torch.export.save(program, path)
        found = pickles(path)
        if found:
            raise RunError(
                f"torch {torch.__version__} writes {choices(found)} as a pickle, which can execute "
                f"code when it is read: use another release of torch, or format onnx"
            )

    def open(self, path: Path) -> Runner:
        """Reads a file that `write` wrote. Without a pickle in it, reading executes no code."""
        module = torch.export.load(path).module()

        @torch.no_grad()
        def run(inputs: Tensors) -> Tensors:
            return as_tuple(module(*inputs))

        return run


def pickles(path: Path) -> list[str]:
    """Members of a `.pt2` archive that are pickles.

    What torch pickles is in members `*.pt`, which are otherwise empty, or in payloads whose
    configuration says so.
    """
    found = []
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.filename.endswith((".pt", ".pkl")) and member.file_size:
                found.append(member.filename)
            elif member.filename.endswith("_config.json"):
                payloads = json.loads(archive.read(member)).get("config", {}).values()
                found += [p["path_name"] for p in payloads if p.get("use_pickle")]
    return found
