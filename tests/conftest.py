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
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

# A slow machine is no defect: no test asserts on time.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

# Token authentication with a token of the tests' own. Ray reads the mode when it is imported, and
# the next conftest does that already.
FOLDER = tempfile.TemporaryDirectory(prefix="autoshrink-ray-tests-")
TOKEN = Path(FOLDER.name, "token")
TOKEN.write_text(secrets.token_hex(32))
os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(TOKEN)}

# No processes in advance, one for each CPU of each node: trials take processes of their own.
os.environ |= {"RAY_prestart_worker_first_driver": "0", "RAY_enable_worker_prestart": "0"}


RAY = "tests/ray/"


def pytest_configure(config: pytest.Config) -> None:
    config.add_cleanup(FOLDER.cleanup)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest group first, where several processes test."""
    items.sort(key=lambda item: not item.nodeid.startswith(RAY))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Hands tests out by files."""
    return OneForRay(config, log)


class OneForRay(LoadScopeScheduling):  # type: ignore[misc]
    """One process takes all files of tests that share a Ray cluster; the others go file by file."""

    def _split_scope(self, nodeid: str) -> str:
        return RAY if nodeid.startswith(RAY) else nodeid.partition("::")[0]


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
