"""Drivers as processes: started, listened to, hit, and cleaned up after."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

_PATIENCE = 180.0
"""Seconds in which a driver comes to its end when nothing hits it any more."""

Place = tuple[int, int, int]


@dataclass(frozen=True)
class Process:
    """A process as the kernel tells it from all others.

    Attributes:
        pid: Its number, which another one may have later.
        started: Clock ticks from the start of the machine to its own.
        title: Its command line.
    """

    pid: int
    started: int
    title: str

    @property
    def alive(self) -> bool:
        """Whether it runs, and is no other one with its number."""
        now = _process(self.pid)
        return now is not None and now[1].started == self.started

    def kill(self) -> None:
        """Sends SIGKILL if it still runs."""
        if self.alive:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)


def _process(pid: int) -> tuple[int, Process] | None:
    """Number of the parent, and the process itself; None if there is none or it is a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        title = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except (OSError, UnicodeDecodeError):
        return None
    return None if fields[0] == "Z" else (int(fields[1]), Process(pid, int(fields[19]), title))


def descendants(pid: int) -> list[Process]:
    """Children of a process, their children, and so on."""
    found = [_process(int(path.name)) for path in Path("/proc").glob("[0-9]*")]
    children: dict[int, list[Process]] = {}
    for entry in found:
        if entry is not None:
            children.setdefault(entry[0], []).append(entry[1])
    family: list[Process] = []
    new = [pid]
    while new:
        grown = [child for parent in new for child in children.get(parent, [])]
        family += grown
        new = [child.pid for child in grown]
    return family


class Driver:
    """`autoshrink-ray search` in a process and a process group of its own.

    Args:
        config: The run's configuration file.
        scratch: Folder for Ray's session and the driver's messages.

    Attributes:
        announced: Evaluations that it has announced.
        notices: Notices that it has given.
        began: Whether it has announced its start.
    """

    def __init__(self, config: Path, scratch: Path) -> None:
        self.announced: list[Place] = []
        self.notices: list[str] = []
        self.began = False
        self._torn = ""
        self._family: dict[int, Process] = {}
        self._errors = (scratch / "stderr").open("w+")
        code = "from launch.cli import main; main()"
        self._popen = subprocess.Popen(
            [sys.executable, "-c", code, "search", str(config), "--json-progress"],
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            start_new_session=True,
            env=os.environ | {"PYTHONPATH": str(ROOT), "RAY_TMPDIR": str(scratch)},
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self._popen.stdout is not None
        for line in self._popen.stdout:
            try:
                event = json.loads(line)
            except ValueError:
                self._torn = line
                continue
            self._hear(event)

    def _hear(self, event: dict[str, Any]) -> None:
        match event["event"]:
            case "start":
                self.began = True
            case "evaluation":
                self.announced.append((event["search"], event["round"], event["index"]))
            case "notice":
                self.notices.append(event["text"])

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._popen.poll() is None

    @property
    def babble(self) -> str:
        """A line of its output that is no event; a killed driver's last one may be torn."""
        return "" if self._popen.returncode == -signal.SIGKILL else self._torn

    @property
    def errors(self) -> str:
        """What it has written to its standard error."""
        self._errors.seek(0)
        return self._errors.read()

    def wait_until(self, happened: Callable[[], bool]) -> None:
        """Waits until something has happened or the driver has ended.

        Raises:
            TimeoutError: If neither comes about.
        """
        deadline = time.monotonic() + _PATIENCE
        while self.running and not happened():
            if time.monotonic() > deadline:
                raise TimeoutError(f"the driver does not get on: {self.errors[-2000:]}")
            time.sleep(0.01)

    def workers(self) -> list[Process]:
        """The processes that train."""
        return [p for p in self._relatives() if "CandidateTrainable" in p.title and p.alive]

    def _relatives(self) -> list[Process]:
        """Remembered, because the death of a parent hides whose children they are."""
        self._family |= {process.pid: process for process in descendants(self._popen.pid)}
        return list(self._family.values())

    def kill(self) -> None:
        """SIGKILL to its process group: the driver, and all of Ray that has none of its own."""
        self._relatives()
        with suppress(ProcessLookupError):
            os.killpg(self._popen.pid, signal.SIGKILL)

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal to the driver alone."""
        self._relatives()
        self._popen.send_signal(number)

    def end(self) -> int:
        """Waits for its end; then nothing that it started runs any more.

        Returns:
            Its exit code, negative if a signal ended it.
        """
        try:
            code = self._popen.wait(_PATIENCE)
        finally:
            self._end_relatives()
        self._listener.join(10)
        return code

    def _end_relatives(self) -> None:
        deadline = time.monotonic() + 10
        while any(p.alive for p in self._family.values()) and time.monotonic() < deadline:
            time.sleep(0.05)
        for process in self._family.values():
            process.kill()
