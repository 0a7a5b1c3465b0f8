"""The checks, in order, each a question that is answered or refused with a remedy."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from autoshrink_ray.errors import choices
from autoshrink_ray.preflight.faults import (
    NO_ANSWER,
    NO_DATA,
    NO_RIGHTS,
    NOT_IMPORTABLE,
    OTHER_DISK,
    OTHER_NODE,
)
from autoshrink_ray.preflight.nodes import Report, ask, nodes
from autoshrink_ray.preflight.storage import Probe, probes
from autoshrink_ray.preflight.there import OTHER, UNSEEN
from autoshrink_ray.runfile import release

if TYPE_CHECKING:
    from autoshrink_ray.cluster import Resources

PACKAGES = ("ray", "autoshrink-ray", "torch")
"""Packages whose releases a node tells."""

_SAME = ("python", "ray", "autoshrink-ray")
"""What is the same on every node. Another torch can change last digits, and is told."""

_ABSENT = "not installed"


@dataclass(frozen=True)
class Needs:
    """What a run asks of every node that may hold one of its trials.

    Attributes:
        trial: What one trial takes.
        storages: Folders or URIs that the driver and the nodes share.
        modules: Modules that trials import.
        files: Folder and name of files that trials read themselves.
    """

    trial: Resources
    storages: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    files: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Check:
    """One question.

    Attributes:
        name: What it is about.
        run: Answers it in a line, or raises a `UsageError` that ends with the remedy.
    """

    name: str
    run: Callable[[], str]


def needed_modules(plugins: Iterable[str], *references: str) -> tuple[str, ...]:
    """Modules that a trial imports.

    Args:
        plugins: Modules of plug-ins.
        references: `module:attribute` of what the trial looks up.
    """
    own = ("autoshrink_ray", "search_spaces", "trainables")
    torch = ("torch",) if "torch" in sys.modules else ()  # a task without it needs none there
    looked_up = (reference.partition(":")[0] for reference in references)
    return tuple(dict.fromkeys((*own, *torch, *plugins, *looked_up)))


@dataclass(frozen=True)
class Survey:
    """What the nodes said.

    Attributes:
        needs: What was asked for.
        reports: An answer of each node that fits a trial.
        unlike: Number of a storage, and node: what the node wrote and the driver does not see.
    """

    needs: Needs
    reports: Sequence[Report]
    unlike: dict[tuple[int, str], str]

    @property
    def checks(self) -> list[Check]:
        """What follows from the answers, in order."""
        found = [Check("nodes", self.require_nodes)]
        if self.needs.storages:
            found.append(Check("storage on nodes", self.require_storage))
        if self.needs.files:
            found.append(Check("data on nodes", self.require_data))
        return found

    def require(self) -> None:
        """Raises the first error that a check has."""
        for check in self.checks:
            check.run()

    def require_nodes(self) -> str:
        """Every node answers, has the driver's releases and finds the modules.

        Raises:
            ConfigError: Naming the first node that does not.
        """
        here = {"python": platform.python_version()} | {name: release(name) for name in PACKAGES}
        for report in self.reports:
            if report.silent:
                raise NO_ANSWER.error(node=report.node.name, reason=report.silent)
            for package in _SAME:
                there = report.releases[package]
                if there != here[package] and _ABSENT not in (there, here[package]):
                    raise OTHER_NODE.error(
                        node=report.node.name, package=package, there=there, here=here[package]
                    )
            if report.missing:
                missing = choices(report.missing)
                raise NOT_IMPORTABLE.error(node=report.node.name, modules=missing)
        return self._counted("with the releases of this process and all modules")

    def require_storage(self) -> str:
        """Every node and the driver see what the other wrote.

        Raises:
            StorageError: Naming the first node that does not.
        """
        for number, storage in enumerate(self.needs.storages):
            for report in self.reports:
                name = report.node.name
                there = report.probes.get(number)
                here = self.unlike.get((number, report.node.id))
                if here or there in (UNSEEN, OTHER):
                    raise OTHER_DISK.error(location=storage, node=name, reason=here or there)
                if there:
                    raise NO_RIGHTS.error(location=storage, node=name, reason=there)
        return self._counted(f"read and write {choices(self.needs.storages)}")

    def require_data(self) -> str:
        """Every node finds the files that trials read.

        Raises:
            DataError: Naming the first node and file where not.
        """
        for report in self.reports:
            for number, reason in report.files.items():
                file = "/".join(self.needs.files[number])
                raise NO_DATA.error(node=report.node.name, file=file, reason=reason)
        return self._counted("find the files that workers read")

    def _counted(self, text: str) -> str:
        if not self.reports:
            return "no node that could hold a trial is up yet: not checked"
        return f"{len(self.reports)} of them {text}"


def survey(needs: Needs, note: Callable[[str], None]) -> Survey:
    """Asks every node that could hold a trial.

    Args:
        needs: What a run asks of them.
        note: Told what a user should know that is no error.

    Raises:
        StorageError: If the driver cannot write to a storage.
    """
    fitting = [node for node in nodes() if node.fits(needs.trial)]
    if not fitting:
        note(
            "no node that could hold a trial is up yet: their releases, modules and storage are "
            "not checked before the start"
        )
        return Survey(needs, [], {})
    with probes(needs.storages) as laid:
        reports = ask(fitting, _question(needs, laid), note)
        unlike = _unlike(laid, reports)
    _note_torch(reports, note)
    return Survey(needs, reports, unlike)


def _question(needs: Needs, laid: Sequence[Probe]) -> dict[str, object]:
    return {
        "modules": needs.modules,
        "packages": PACKAGES,
        "probes": [probe.folder.location for probe in laid],
        "content": laid[0].content if laid else b"",
        "files": needs.files,
    }


def _unlike(laid: Sequence[Probe], reports: Sequence[Report]) -> dict[tuple[int, str], str]:
    found = {}
    for number, probe in enumerate(laid):
        wrote = [r.node.id for r in reports if not _said_no(r, number)]
        for node, why in probe.unlike(wrote).items():
            found[number, node] = why
    return found


def _said_no(report: Report, number: int) -> bool:
    return bool(report.silent or report.missing or number in report.probes)


def _note_torch(reports: Sequence[Report], note: Callable[[str], None]) -> None:
    found = {r.releases["torch"] for r in reports if "torch" in r.releases} - {_ABSENT}
    if len(found) > 1:
        note(f"nodes have different releases of torch, which can change last digits: {found}")
