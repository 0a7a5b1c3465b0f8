"""What can be told of the image without building it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from autoshrink_ray import __version__
from launch.clusters.answers import RAY, Answers, names_release

ROOT = Path(__file__).parents[3]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
IGNORED = (ROOT / ".dockerignore").read_text().split("\n")


def copied() -> list[str]:
    lines = re.findall(r"^COPY (.+)$", DOCKERFILE, re.MULTILINE)
    return [word for line in lines for word in line.split()[:-1]]


def test_what_is_copied_is_there_and_not_ignored() -> None:
    assert copied()
    for name in copied():
        assert (ROOT / name).exists(), name
        assert f"!{name}" in IGNORED
    assert {line[1:] for line in IGNORED if line.startswith("!")} == set(copied())
    assert "*" in IGNORED


def test_every_package_of_the_wheel_is_copied() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) <= set(copied())
    assert {project["project"]["readme"], *project["project"]["license-files"]} <= set(copied())


def test_everything_is_installed_with_the_pins_of_scripts_install() -> None:
    installs = re.findall(r"pip install(?:.|\\\n)+?(?=;|\n\n|$)", DOCKERFILE)
    assert len(installs) == 2
    assert all("--constraint constraints.txt" in line for line in installs)
    assert "--constraint constraints.txt" in (ROOT / "scripts/install").read_text()


def test_the_python_and_the_releases_are_the_pinned_ones() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert f"ray[default,tune,train]=={RAY}" in project["project"]["dependencies"]
    assert f"ray=={RAY}" in (ROOT / "constraints.txt").read_text().split()
    oldest = project["project"]["requires-python"].removeprefix(">=")
    assert re.search(rf"^FROM python:{oldest}\.\d+-slim-\w+$", DOCKERFILE, re.MULTILINE)
    tags = re.findall(r"--tag (\S+)", DOCKERFILE)
    assert tags
    for tag in (*tags, Answers(provider="aws").image):
        assert names_release(tag)
        assert f":{__version__}-" in tag


def test_it_ends_without_root_and_without_a_token() -> None:
    assert re.findall(r"^USER (\S+)", DOCKERFILE, re.MULTILINE)[-1] == "ray"
    assert "RAY_AUTH_TOKEN" not in DOCKERFILE
