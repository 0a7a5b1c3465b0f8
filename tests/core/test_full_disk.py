"""Runs whose storage fills up, on a real filesystem that is small."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from autoshrink_ray import Run, run_search
from autoshrink_ray.errors import AutoshrinkError
from tests.core.processes import table
from tests.core.runs import Notes, decisions, results


def test_a_full_disk_stops_a_run_and_loses_nothing(small_disk: Path, tmp_path: Path) -> None:
    expected = run_search(table(tmp_path / "undisturbed"))
    ballast = small_disk / "ballast"

    def fill() -> None:
        with suppress(OSError):
            ballast.write_bytes(bytes(1 << 20))

    config = table(small_disk / "runs", tensorboard="off")  # whose pictures alone would fill it
    notes = Notes(at=4, action=fill)
    with pytest.raises(AutoshrinkError, match="No space left") as caught:
        run_search(config, observers=[notes])
    assert caught.value.exit_code == 1
    kept = Run(str(small_disk / "runs" / "run"))
    assert set(kept.ledger.evaluations) >= {e.candidate.place for e in notes.evaluations}
    assert not kept.ledger.damaged
    ballast.unlink()
    again = Notes()
    run = run_search(config, observers=[again])
    assert decisions(run) == decisions(expected)
    assert results(run) == results(expected)
    assert not {e.candidate.place for e in again.evaluations} & set(kept.ledger.evaluations)
