"""`plan`, as a user types it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from autoshrink_ray import SearchConfig, run_search
from launch import cli
from tests.core.runs import TABLE

OWN = ("--space", "table", "--plugin", "tests.plugins.table", "--nodes", "4", "--candidates", "3")


def plan(*arguments: str, code: int = 0) -> str:
    done = CliRunner(env={"COLUMNS": "200"}).invoke(cli.app, ["plan", *arguments])
    assert done.exit_code == code, done.output
    return done.output


def as_json(*arguments: str) -> Any:
    return json.loads(plan(*arguments, "--json"))


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> str:
    place = str(tmp_path_factory.mktemp("runs"))
    run_search(SearchConfig.of(TABLE), storage=place, name="run")
    return place


def test_a_search_with_a_price() -> None:
    gpus = ("--gpus-per-trial", "0.5", "--price-per-gpu-hour", "4")
    found = as_json(*OWN, *gpus, "--seconds-per-candidate", "3600", "--workers", "4,1")
    one, four = found["rows"]
    assert (one["workers"], four["workers"]) == (1, 4)
    assert one["cost"] == pytest.approx(4 * one["wall"] / 3600)
    assert four["cost"] == pytest.approx(4 * 2 * four["wall"] / 3600)
    assert four["wall"] < one["wall"]
    assert found["trainings"]["least"] <= one["busy_hours"] * 2 <= found["trainings"]["most"]
    assert found["widest"] <= 3
    text = plan(*OWN, *gpus, "--seconds-per-candidate", "3600", "--workers", "1,4")
    assert text.count("GPU h") == 2
    assert f"{one['cost']:,.2f}" in text
    assert "Recommended: " in text


def test_a_run_again_from_a_configuration_or_its_name(storage: str, tmp_path: Path) -> None:
    found = as_json("run", "--storage", storage, "--workers", "1")
    assert found["of"] == "finished run again"
    assert found["draws"] == 1
    file = tmp_path / "own.yaml"
    file.write_text(json.dumps(TABLE))
    drawn = as_json(str(file), "--seconds-per-candidate", "5", "--draws", "2", "--workers", "1")
    assert (drawn["of"], drawn["draws"]) == ("search", 2)


def test_nodes_that_have_to_start_take_their_time() -> None:
    base = (*OWN, "--seconds-per-candidate", "5", "--workers", "2")
    later = as_json(*base, "--node-start-seconds", "100")["rows"][0]["wall"]
    assert later == pytest.approx(as_json(*base)["rows"][0]["wall"] + 100)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "say what to forecast"),
        (OWN, "nobody knows yet how long"),
        ((*OWN, "--workers", "1,x"), "--workers takes whole numbers from 1 to 100000"),
        ((*OWN, "--workers", "0"), "got '0'"),
        ((*OWN, "--workers", ""), "got ''"),
        ((*OWN, "--workers", "9" * 5000), "--workers takes whole numbers"),
        ((*OWN, "--price-per-gpu-hour", "-1"), "--price-per-gpu-hour is a finite number"),
        ((*OWN, "--seconds-per-candidate", "nan"), "--seconds-per-candidate is a finite number"),
        ((*OWN, "--seconds-per-candidate", "0"), "is more than 0"),
        ((*OWN, "--node-start-seconds", "inf"), "--node-start-seconds is a finite number"),
        ((*OWN, "--draws", "0"), "--draws is from 1 to 1000, got 0"),
        (
            (*OWN, "--seconds-per-candidate", "1", "--price-per-gpu-hour", "1"),
            "needs trials with GPUs",
        ),
        (("none-such",), "no run at"),
        (("none-such", "--nodes", "4"), "a run brings its own search, got --nodes"),
    ],
)
def test_what_cannot_be_forecast(arguments: tuple[str, ...], message: str) -> None:
    text = plan(*arguments, code=2)
    assert message in text
    assert "Traceback" not in text
