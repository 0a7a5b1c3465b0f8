"""TensorBoard's server, for this machine only."""

from __future__ import annotations

import io
from contextlib import redirect_stderr

from tensorboard import program

from autoshrink_ray.errors import ConfigError

HOST = "127.0.0.1"
"""Nobody else can reach it: TensorBoard asks nobody who they are. Forward a port instead."""

_SAMPLES = "images=1000,scalars=10000,tensors=1000"
"""Steps of a tag that are shown at most; 10 pictures would be too few for a search's rounds."""


def serve(log_directory: str, port: int | None) -> str:
    """Starts TensorBoard beside this thread, for as long as this process lives.

    Args:
        log_directory: Local folder of the streams.
        port: Port to listen at, 0 for any free one; None for the first free one from 6006 on.

    Returns:
        Where it can be reached.

    Raises:
        ConfigError: If the port cannot be had.
    """
    board = program.TensorBoard()
    options = {"logdir": log_directory, "host": HOST, "samples_per_plugin": _SAMPLES}
    arguments = [f"--{name}={value}" for name, value in options.items()]
    board.configure(["tensorboard", *arguments, *([] if port is None else [f"--port={port}"])])
    try:
        with redirect_stderr(io.StringIO()):  # advertisements of its own options
            return str(board.launch())
    except program.TensorBoardServerException as error:
        raise ConfigError(f"TensorBoard cannot listen at port {port}: {error.msg}") from error
