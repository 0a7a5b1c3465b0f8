"""Finding and reading runs, damaged ones too."""

from __future__ import annotations

import math
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from autoshrink_ray import Run, SearchConfig, run_search
from autoshrink_ray.errors import FileFormatError, StorageError
from autoshrink_ray.results import list_runs
from tests.core.runs import content


def test_a_run_is_found_by_path_and_by_name(tiny: SearchConfig, storage: Path) -> None:
    run_search(tiny)
    for run in (
        Run(str(storage / "tiny")),
        Run("tiny", str(storage)),
        Run((storage / "tiny").as_uri()),
        Run("tiny", storage.as_uri()),
    ):
        assert run.status == "finished"


def test_where_there_is_no_run(storage: Path) -> None:
    assert list_runs(str(storage)) == []
    with pytest.raises(StorageError, match=r"no run at .*nothing: give <storage>/<name>"):
        Run("nothing", str(storage))


def test_other_folders_in_the_storage_are_no_runs(tiny: SearchConfig, storage: Path) -> None:
    run_search(tiny)
    (storage / "notes").mkdir()
    (storage / "readme.txt").write_text("mine")
    assert [run.name for run in list_runs(str(storage))] == ["tiny"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is damaged"),
        ("", "is damaged"),
        ("- a", "is damaged"),
        ("schema_version: 1", "name: Field required"),
        ("schema_version: 2", "schema version 2; this release reads up to 1"),
        ("\0", "is damaged"),
    ],
)
def test_a_damaged_or_newer_run_yaml_is_refused(
    tiny: SearchConfig, storage: Path, text: str, message: str
) -> None:
    run_search(tiny)
    (storage / "tiny" / "run.yaml").write_text(text)
    before = content(storage)
    with pytest.raises(FileFormatError, match=rf"tiny/run\.yaml .*{message}"):
        Run(str(storage / "tiny")).to_dict()
    with pytest.raises(FileFormatError, match=message):
        run_search(tiny)
    assert content(storage) == before


def test_a_table_of_several_searches_reads_back(tiny: SearchConfig, storage: Path) -> None:
    run = run_search(tiny, searches=2)
    table = parquet.read_table(storage / "tiny" / "evaluations.parquet")
    assert set(table.column("search").to_pylist()) == {0, 1}
    assert pa.types.is_timestamp(table.schema.field("started").type)
    best = max(row["score"] for row in table.to_pylist())
    assert run.best is not None
    assert math.isclose(best, run.best.score)
