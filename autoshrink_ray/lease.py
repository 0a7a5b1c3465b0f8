"""A lease keeps a second driver off a run, so that nothing is trained twice.

It saves waste and nothing else: object stores have no locks, and a run whose drivers overlap comes
to the same result (see `autoshrink_ray.ledger`). The holder writes `lease.json` anew every few
seconds. Another driver watches it: one that changes is alive, one that stays the same for
`EXPIRY` seconds is dead, whatever the clocks of the two machines say.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import Field

from autoshrink_ray import files
from autoshrink_ray.errors import (
    AutoshrinkError,
    FileFormatError,
    RunHeldError,
    RunInterruptedError,
    TakenOverError,
)
from autoshrink_ray.records import Record
from autoshrink_ray.storage import Folder

HEARTBEAT = 5.0
"""Seconds between two signs of life."""

EXPIRY = 30.0
"""Seconds without a sign of life after which a lease is void."""


class Lease(Record):
    """Who drives a run.

    Attributes:
        token: Unique to the driver.
        host: Machine on which it runs.
        pid: Its process there.
        boot: What tells this start of the machine, or of the container, from others; or empty.
        beat: Signs of life so far.
    """

    token: str
    host: str
    pid: int = Field(ge=1, lt=2**31)
    boot: str
    beat: int = 0

    @classmethod
    def mine(cls) -> Lease:
        """A fresh one for this process."""
        return cls(
            token=secrets.token_hex(8), host=socket.gethostname(), pid=os.getpid(), boot=_boot()
        )

    @property
    def surely_dead(self) -> bool:
        """Whether its process ran on this machine and is gone."""
        here = self.host == socket.gethostname() and self.boot == _boot()
        return here and not _runs(self.pid)


@contextmanager
def held(
    folder: Folder,
    on_wait: Callable[[str], None] = lambda text: None,
    caught: Sequence[int] = (),
) -> Iterator[Hold]:
    """Holds the lease of the run in `folder`.

    Args:
        folder: The run's folder.
        on_wait: Told why the start takes a while.
        caught: Signals that want it to end before that; grows in another place.

    Yields:
        What says whether the lease is still ours.

    Raises:
        RunHeldError: If another driver is alive.
        RunInterruptedError: If a signal was caught.
        StorageError: If the lease cannot be written.
    """
    mine = Lease.mine()
    _require_free(folder, on_wait, caught)
    _write(folder, mine)
    hold = Hold(folder, mine)
    hold.start()
    try:
        yield hold
    finally:
        hold.stop()


def _require_free(folder: Folder, on_wait: Callable[[str], None], caught: Sequence[int]) -> None:
    holder = _read(folder)
    if holder is None or holder.surely_dead:
        return
    on_wait(
        f"a driver on {holder.host} (process {holder.pid}) held this run last; watching for "
        f"{EXPIRY:.0f} s whether it is alive"
    )
    deadline = time.monotonic() + EXPIRY
    while time.monotonic() < deadline:
        time.sleep(min(1.0, HEARTBEAT / 2))
        if caught:
            raise RunInterruptedError(caught[-1])
        now = _read(folder)
        if now is None:
            return
        if now != holder:
            raise RunHeldError(
                f"the run in {folder.location} is being driven by process {now.pid} on {now.host}; "
                f"wait for it, stop it, or choose another --name"
            )


def _read(folder: Folder) -> Lease | None:
    if not folder.exists(files.LEASE):
        return None
    try:
        return files.parse_file(Lease, folder.read(files.LEASE), files.LEASE, 1)
    except FileFormatError:
        return None  # whoever wrote it is gone, or writes it anew in a moment


def _write(folder: Folder, lease: Lease) -> None:
    folder.write(files.LEASE, lease.model_dump_json().encode())


class Hold(threading.Thread):
    """A lease that is ours: signs of life, until somebody else has it.

    Args:
        folder: The run's folder.
        lease: What was written there.
    """

    def __init__(self, folder: Folder, lease: Lease) -> None:
        super().__init__(name="lease", daemon=True)
        self._lost = threading.Event()
        self._folder, self._lease = folder, lease
        self._stopped = threading.Event()

    @property
    def lost(self) -> bool:
        """Whether another driver was seen to have it; costs nothing."""
        return self._lost.is_set()

    def is_lost_now(self) -> bool:
        """Looks whether another driver has the lease, or had it and gave it back since.

        Raises:
            StorageError: If the lease cannot be read.
        """
        now = _read(self._folder)
        taken = now is not None and now.token != self._lease.token
        if taken or not self._folder.exists(files.LEASE):
            self._lost.set()
        return self.lost

    def run(self) -> None:
        while not self._stopped.wait(HEARTBEAT):
            with suppress(AutoshrinkError):  # a missed sign of life is no reason to stop
                self._beat()
            if self.lost:
                return

    def _beat(self) -> None:
        if not self.is_lost_now() and not self._stopped.is_set():
            self._lease = self._lease.model_copy(update={"beat": self._lease.beat + 1})
            _write(self._folder, self._lease)

    def stop(self) -> None:
        """Ends the signs of life and gives the lease back, if it is still ours."""
        self._stopped.set()
        self.join()
        with suppress(AutoshrinkError):
            if not self.is_lost_now():
                self._folder.remove(files.LEASE)


def ending(caught: Sequence[int], hold: Hold) -> AutoshrinkError | None:
    """What a driver has to stop with now: a signal that it caught, or the loss of its lease."""
    if caught:
        return RunInterruptedError(caught[-1])
    return TakenOverError() if hold.lost else None


def _boot() -> str:
    """Process numbers compare within one start of one machine and one of its namespaces only."""
    with suppress(OSError):
        start = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{start} {Path('/proc/self/ns/pid').readlink()}"
    return ""


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
