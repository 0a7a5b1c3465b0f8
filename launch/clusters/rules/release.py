"""One release of Ray on every node and on the machine that drives them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from launch.clusters.answers import RAY, names_release
from launch.clusters.document import KUBERNETES, Document, Kind, at, items, mapping
from launch.clusters.rule import Fault, rule
from launch.clusters.workers import container

_COMMANDS = ("initialization", "setup", "head_setup", "worker_setup")


@rule()
def image_release(document: Document) -> Iterator[Fault]:
    """A node with another release of Ray is refused by the head, or drifts with the next pull."""
    for path, image in _images(document):
        if image is None:
            yield Fault(path, "no image is named", f"name one with ray{RAY} in its tag")
        elif not names_release(str(image)):
            yield Fault(path, f"{image!r} does not pin Ray {RAY}", f"use a tag with ray{RAY} in it")


@rule(*KUBERNETES)
def ray_version(document: Document) -> Iterator[Fault]:
    """KubeRay decides by rayVersion what it may use, so it has to be the image's release."""
    found = document.cluster.get("rayVersion")
    if found is not None and found != RAY:
        yield Fault(
            f"{document.cluster_path}rayVersion", f"{found!r} is not {RAY}", f"set it to {RAY}"
        )


@rule(Kind.RAY_UP)
def other_ray(document: Document) -> Iterator[Fault]:
    """A command that installs Ray anew replaces the pinned release, with a nightly one often."""
    for kind in _COMMANDS:
        for place, line in enumerate(items(document.body.get(f"{kind}_commands"))):
            if isinstance(line, str) and _installs_other(line):
                yield Fault(
                    f"{kind}_commands[{place}]",
                    "installs Ray without its pinned release",
                    f"remove it, or pin ray=={RAY}",
                )


def _installs_other(line: str) -> bool:
    wheel = "ray-wheels" in line
    named = re.search(r"\bpip3?\s+install\b.*?(?<![\w.-])ray(\[[\w,-]*\])?(?![\w-])", line)
    return wheel or (named is not None and not re.search(rf"==\s*{re.escape(RAY)}(?!\d)", line))


def _images(document: Document) -> Iterator[tuple[str, Any]]:
    if document.kind is Kind.RAY_UP:
        docker = mapping(document.body.get("docker"))
        for key in ("image", "head_image", "worker_image"):
            if key in docker:
                yield f"docker.{key}", docker[key]
        if not docker:
            return
        if not {"image", "head_image", "worker_image"} & set(docker):
            yield "docker.image", None
        return
    path = document.cluster_path
    yield (
        f"{path}headGroupSpec.template.spec.containers[0].image",
        _image(document.cluster.get("headGroupSpec")),
    )
    for place, group in enumerate(items(document.cluster.get("workerGroupSpecs"))):
        yield f"{path}workerGroupSpecs[{place}].template.spec.containers[0].image", _image(group)


def _image(group: Any) -> Any:
    return at(container(mapping(group)), "image")
