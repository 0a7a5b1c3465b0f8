"""Is a storage the same place for the driver and for every node?"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from autoshrink_ray.preflight import there
from autoshrink_ray.storage import Folder, join

_READERS = 8


@dataclass(frozen=True)
class Probe:
    """A folder in a storage, for the time of the checks.

    Attributes:
        storage: The storage's location.
        folder: The folder.
        content: What the driver wrote into it, and what every node writes.
    """

    storage: str
    folder: Folder
    content: bytes

    def unlike(self, names: Sequence[str]) -> dict[str, str]:
        """Files of nodes that do not hold here what the nodes wrote, and why."""
        with ThreadPoolExecutor(_READERS) as pool:
            found = zip(names, pool.map(self._why_unlike, names), strict=True)
            return {name: why for name, why in found if why}

    def _why_unlike(self, name: str) -> str:
        deadline = time.monotonic() + there.DELAY
        while not self.folder.exists(name):
            if time.monotonic() > deadline:
                return "what the node wrote there is not seen from here"
            time.sleep(0.2)
        same = self.folder.read(name) == self.content
        return "" if same else "what the node wrote there has other content here"


@contextmanager
def probes(storages: Sequence[str]) -> Iterator[list[Probe]]:
    """A probe in each storage; nothing is left of them.

    Raises:
        StorageError: If the driver cannot write there.
    """
    token = secrets.token_hex(8)
    laid: list[Probe] = []
    try:
        for storage in storages:
            folder = Folder(join(Folder(storage).location, f".preflight-{token}"))
            laid.append(Probe(storage, folder, token.encode()))
            folder.write(there.DRIVERS, token.encode())
        yield laid
    finally:
        for probe in laid:
            _taken_away(probe)


def _taken_away(probe: Probe) -> None:
    if probe.folder.exists():
        probe.folder.delete()
