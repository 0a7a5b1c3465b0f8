"""Whatever is in a file that we read: it is read, or refused with an error of ours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.core import subjects as of_runs
from tests.mutations import Subject, mutated, same_packages
from tests.trainables import subjects as of_networks

SUBJECTS = {**of_runs.SUBJECTS, **of_networks.SUBJECTS}


@pytest.fixture(params=SUBJECTS)
def subject(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Subject]:
    with same_packages():
        yield SUBJECTS[request.param](tmp_path)


def test_a_whole_file_is_read(subject: Subject) -> None:
    assert subject.survives(subject.content)


@settings(max_examples=200, suppress_health_check=list(HealthCheck))
@given(rng=st.randoms(use_true_random=False))
def test_a_damaged_file_raises_nothing_foreign(subject: Subject, rng: Random) -> None:
    """`survives` lets every error through that is not one of ours."""
    subject.survives(mutated(subject, rng))
