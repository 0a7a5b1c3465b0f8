"""Settings of all tests."""

from __future__ import annotations

import os
import secrets
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# A slow machine is no defect: no test asserts on time.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

# Token authentication with a token of the tests' own. Ray reads the mode when it is imported, and
# the next conftest does that already.
FOLDER = tempfile.TemporaryDirectory(prefix="autoshrink-ray-tests-")
TOKEN = Path(FOLDER.name, "token")
TOKEN.write_text(secrets.token_hex(32))
os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(TOKEN)}


def pytest_configure(config: pytest.Config) -> None:
    config.add_cleanup(FOLDER.cleanup)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where several processes test, one takes all that starts Ray, since those share a cluster."""
    for item in items:
        group = "ray" if item.get_closest_marker("ray") else str(item.path)
        item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=lambda item: item.get_closest_marker("ray") is None)  # the longest group first


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A filesystem of 256 KiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this account may not mount a filesystem")
    yield place
    subprocess.run(["umount", str(place)], check=True)
