"""Every exception of the project.

    AutoshrinkError
    ├── UsageError            wrong usage or configuration: exit code 2
    │   ├── ConfigError       an option, key, preset or identity that cannot be
    │   ├── TopologyError     nodes and edges that are no cell
    │   ├── DataError         a data set that is missing, empty or broken
    │   ├── RunHeldError      another driver is at work on the run
    │   ├── StorageError      a place that cannot be read or written
    │   └── FileFormatError   a file of ours that is damaged
    │       └── NewerFormatError  ... or that a newer version wrote
    ├── RunInterruptedError   stopped by SIGINT or SIGTERM: exit code 130 or 143
    └── RunError              failed at run time: exit code 1
        ├── RoundFailedError       no candidate of a round has a usable result
        ├── RetriesExhaustedError  the infrastructure kept losing a candidate
        ├── VerificationError      a run contradicts itself
        ├── TakenOverError         another driver holds the run's lease by now
        └── LedgerError            the record of a run cannot be written or contradicts itself

A message names the rule, the value that broke it and the valid choices.
"""

from __future__ import annotations

import signal
from collections.abc import Iterable


class AutoshrinkError(Exception):
    """Base of every exception that this project raises on purpose."""

    exit_code = 1


class UsageError(AutoshrinkError):
    """The user asked for something that cannot be; nothing was changed."""

    exit_code = 2


class ConfigError(UsageError):
    """An option, a configuration key, a preset or a run's identity is wrong."""


class TopologyError(UsageError):
    """Nodes, operations and edges that do not form a cell."""


class DataError(UsageError):
    """A data set is missing, empty, damaged or does not fit its declaration."""


class RunHeldError(UsageError):
    """Another driver is at work on the run."""


class StorageError(UsageError):
    """A storage location cannot be read or written."""


class FileFormatError(UsageError):
    """A file in one of our formats is damaged or has a newer schema version."""


class NewerFormatError(FileFormatError):
    """A file in one of our formats was written by a newer version."""


class RunInterruptedError(AutoshrinkError):
    """A signal stopped the run; it goes on when it is started again under its name.

    Args:
        number: The signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}; the run can be resumed")
        self.exit_code = 128 + number


class RunError(AutoshrinkError):
    """A run failed while it was going; what it finished is in its ledger."""


class RoundFailedError(RunError):
    """No candidate of a round ended with a complete, finite result."""


class RetriesExhaustedError(RunError):
    """A candidate was lost to the infrastructure more often than allowed."""


class TakenOverError(RunError):
    """Another driver took the run over while this one gave no sign of life."""

    def __init__(self) -> None:
        super().__init__(
            "another driver took this run over, since this one gave no sign of life; what it "
            "finished is kept"
        )


class VerificationError(RunError):
    """A run does not follow from its own configuration and evaluations."""


class LedgerError(RunError):
    """A ledger object could not be written, or contradicts the configuration."""


def choices(values: Iterable[object]) -> str:
    """Lists valid choices for an error message, in the given order."""
    return ", ".join(str(value) for value in values)


def told(error: Exception) -> str:
    """What a run's record says of an error: ours explains itself, any other one is named, too."""
    return str(error) if isinstance(error, AutoshrinkError) else f"{type(error).__name__}: {error}"
