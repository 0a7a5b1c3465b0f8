"""One local Ray cluster for all tests that need one."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
import ray

CPUS = 4


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cluster of one node that believes it has four CPUs."""
    ray.init(
        address="local",
        num_cpus=CPUS,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    yield
    ray.shutdown()
