"""`--format onnx`: one `.onnx` file, run by onnxruntime."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx
import onnxruntime
import torch

from autoshrink_ray.errors import ConfigError
from trainables.export.card import BATCH
from trainables.export.torch_program import trace
from trainables.export.unit import Runner, Tensors, Unit

OPSET = 20
"""Version of the standard operators that files use; onnxruntime knows it since 1.17."""

_LARGEST = 2**31 - 2**24
"""Bytes of weights that surely fit into one file; the graph around them takes far less."""


class OnnxFile:
    """The network as operators of the ONNX standard, weights included."""

    suffix = ".onnx"
    opset = OPSET

    @property
    def runtime(self) -> str:
        """What runs a file."""
        return f"onnxruntime {onnxruntime.__version__}"

    def write(self, unit: Unit, path: Path) -> None:
        """Writes the unit as a file.

        Raises:
            ConfigError: If the weights do not fit into one file.
        """
        size = sum(tensor.nbytes for tensor in unit.module.state_dict().values())
        if size > _LARGEST:
            raise ConfigError(
                f"an ONNX file holds at most 2 GiB, the weights have {size:,} bytes: "
                f"use format torch-export"
            )
        program = trace(unit)
        with _quiet():
            exported = torch.onnx.export(
                program,
                dynamo=True,
                input_names=unit.input_names,
                output_names=unit.output_names,
                opset_version=OPSET,
                verbose=False,
            )
        assert exported is not None  # dynamo=True returns the program  # noqa: S101
        model = exported.model_proto
        _tidy(model)
        onnx.checker.check_model(model)
        onnx.save(model, path)

    def open(self, path: Path) -> Runner:
        """Reads a file."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        names = [entry.name for entry in session.get_inputs()]

        def run(inputs: Tensors) -> Tensors:
            feed = {
                name: tensor.contiguous().numpy()
                for name, tensor in zip(names, inputs, strict=True)
            }
            return tuple(torch.from_numpy(output) for output in session.run(None, feed))

        return run


@contextmanager
def _quiet() -> Iterator[None]:
    """Without remarks on constants that the exporter's optimiser leaves in the graph."""
    logger = logging.getLogger("onnxscript.optimizer._constant_folding")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _tidy(model: onnx.ModelProto) -> None:
    """Names the dynamic axis, and drops notes on how torch got there, half of a small file."""
    graph = model.graph
    symbols = {
        dim.dim_param for entry in graph.input for dim in entry.type.tensor_type.shape.dim
    } - {""}
    symbol = re.compile(rf"\b({'|'.join(map(re.escape, symbols))})\b")
    for entry in (*graph.input, *graph.output, *graph.value_info):
        for dim in entry.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_param = symbol.sub(BATCH, dim.dim_param)
    holders = (*graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer)
    for holder in (model, graph, *holders):
        del holder.metadata_props[:]
