"""`cluster render` and `cluster check`, as a user types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from launch import cli
from launch.clusters.render import shipped
from tests.launch.clusters.mutants import AWS, CLUSTER, JOB


def cluster(*arguments: str | Path) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(cli.app, ["cluster", *map(str, arguments)])


@pytest.fixture
def valid(tmp_path: Path) -> Path:
    path = tmp_path / "cluster.yaml"
    path.write_text(shipped()[AWS])
    return path


def test_default_answers_write_the_files_of_the_repository() -> None:
    for file, provider, extra in (
        (AWS, "aws", []),
        (CLUSTER, "kuberay", []),
        (JOB, "kuberay", ["--job"]),
    ):
        done = cluster("render", "--provider", provider, "--gpu-type", "t4", *extra)
        assert done.exit_code == 0, done.output
        assert done.stdout == shipped()[file]


def test_a_file_is_written_and_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "cluster.yaml"
    command = ("render", "--provider", "aws", "--gpu-type", "l4", "-o", path)
    assert cluster(*command, "--no-spot", "--max-workers", "3").exit_code == 0
    assert "g6.xlarge" in (text := path.read_text())
    assert "MarketType" not in text
    again = cluster(*command)
    assert again.exit_code == 2
    assert "--force overwrites it" in again.output
    assert path.read_text() == text
    assert cluster(*command, "--force").exit_code == 0
    assert "MarketType" in path.read_text()
    assert cluster("check", path).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--provider", "aws", "--gpu-type", "t5"], "t4, a10g, l4, l40s, a100, h100"),
        (["--provider", "gce", "--gpu-type", "t4"], "aws, kuberay"),
        (["--provider", "aws", "--gpu-type", "t4", "--job"], "kuberay"),
        (["--provider", "aws", "--gpu-type", "t4", "--namespace", "x"], "--namespace is for"),
        (["--provider", "kuberay", "--gpu-type", "t4", "--region", "x"], "--region is for"),
        (["--provider", "aws", "--gpu-type", "t4", "-o", "/no/such/folder/x"], "cannot be written"),
    ],
)
def test_wrong_answers_end_with_one_message(arguments: list[str], said: str) -> None:
    done = cluster("render", *arguments)
    assert done.exit_code == 2
    assert said in done.output
    assert "Traceback" not in done.output


def test_trials_of_the_command_line_count_more_than_the_files(valid: Path) -> None:
    assert "ok" in cluster("check", valid).output
    for extra, rule in (("2", "trial-too-large"), ("0.4", "part-of-a-gpu")):
        done = cluster("check", valid, "--gpus-per-trial", extra)
        assert done.exit_code == (1 if extra == "2" else 0)  # the second is a warning
        assert f"[{rule}]" in done.output
    idle = cluster("check", valid, "--gpus-per-trial", "0.25", "--cpus-per-trial", "3")
    assert "[part-of-a-gpu]" in idle.output
    assert cluster("check", valid, "--gpus-per-trial", "nan").exit_code == 2


def test_findings_as_json(valid: Path) -> None:
    valid.write_text(
        valid.read_text().replace("RAY_AUTH_MODE=token ray start --head", "ray start --head")
    )
    done = cluster("check", valid, "--json")
    assert done.exit_code == 1
    (one,) = json.loads(done.stdout)
    assert one["rule"] == "token-mode"
    assert one["level"] == "error"
    assert one["file"] == str(valid)
    assert one["path"] == "head_start_ray_commands[1]"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"a: [", "no valid YAML"),
        (b"- 1", "must be a mapping"),
        (b"\xff\xfe\x00", "UTF-8"),
        (b"a: 1", "describes no cluster"),
        (b"", "describes no cluster"),
        (b"kind: Pod\napiVersion: v1", "RayCluster"),
        (b"provider: {type: aws}\nprovider: {type: gcp}", "stands twice"),
        (b"x: !!python/object/apply:os.system [ls]", "no valid YAML"),
        (b"x: " + b"[" * 1000 + b"]" * 1000, "nested too deeply"),
        (b"#" * (2**20 + 1), "larger than"),
        (b"a: &a [*a]", "alias"),
        (b"provider: {1: x}", "no text"),
        (
            b"a0: &a0 [x, x]\n"
            + b"".join(b"a%d: &a%d [*a%d, *a%d]\n" % (i, i, i - 1, i - 1) for i in range(1, 30)),
            "more than",
        ),
    ],
    ids=range(13),
)
def test_what_cannot_be_read_ends_with_one_message(data: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "file.yaml"
    path.write_bytes(data)
    done = cluster("check", path)
    assert done.exit_code == 2, done.output
    assert said in done.output
    assert "Traceback" not in done.output


def test_no_such_file() -> None:
    done = cluster("check", "/no/such/file.yaml")
    assert done.exit_code == 2
    assert "No such file" in done.output
