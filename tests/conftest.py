"""Settings of all tests."""

from __future__ import annotations

import os
import secrets
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# A slow machine is no defect: no test asserts on time.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


def pytest_configure(config: pytest.Config) -> None:
    """Token authentication with the tests' own token; Ray reads the mode when it is imported."""
    folder = tempfile.TemporaryDirectory(prefix="autoshrink-ray-tests-")
    config.add_cleanup(folder.cleanup)
    token = Path(folder.name, "token")
    token.write_text(secrets.token_hex(32))
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
