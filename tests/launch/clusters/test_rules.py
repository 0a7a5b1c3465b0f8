"""Each rule finds what it is for, and nothing else does."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from launch.clusters.check import check
from launch.clusters.document import describe, read
from launch.clusters.render import shipped
from launch.clusters.rule import RULES, Finding
from tests.launch.clusters.mutants import AWS, CLUSTER, MUTANTS

ROOT = Path(__file__).parents[3]


def found(folder: Path, body: dict[str, Any]) -> list[Finding]:
    path = folder / "file.yaml"
    path.write_text(yaml.safe_dump(body))
    return [finding for document in read(path) for finding in check(document)]


@pytest.mark.parametrize("rule", MUTANTS)
def test_a_mutant_is_found_by_its_rule_alone(rule: str, tmp_path: Path) -> None:
    file, change = MUTANTS[rule]
    body = yaml.safe_load(shipped()[file])
    assert found(tmp_path, body) == []
    change(body)
    findings = found(tmp_path, body)
    assert {finding.rule for finding in findings} == {rule}
    assert all(one.path and one.wrong and one.remedy for one in findings)


def test_no_rule_is_without_a_mutant() -> None:
    assert set(MUTANTS) == set(RULES)
    assert len(RULES) >= 25


def test_a_misspelt_key_is_answered_with_the_right_one(tmp_path: Path) -> None:
    body = yaml.safe_load(shipped()[CLUSTER])
    MUTANTS["unknown-key"][1](body)
    assert "did you mean idleTimeoutSeconds?" in found(tmp_path, body)[0].remedy


def test_kubernetes_without_a_token_or_with_an_open_service(tmp_path: Path) -> None:
    body = yaml.safe_load(shipped()[CLUSTER])
    del body["spec"]["authOptions"]
    body["spec"]["headGroupSpec"]["serviceType"] = "LoadBalancer"
    body["spec"]["headGroupSpec"]["rayStartParams"]["num-cpus"] = "2"
    rules = {finding.rule for finding in found(tmp_path, body)}
    assert rules == {"token-mode", "open-dashboard", "head-runs-trials"}


def test_storage_on_a_volume_of_all_pods_is_shared(tmp_path: Path) -> None:
    body = yaml.safe_load(shipped()[CLUSTER])
    body["metadata"]["annotations"]["autoshrink-ray/storage"] = "/mnt/runs"
    assert [one.rule for one in found(tmp_path, body)] == ["local-storage"]
    for group in (body["spec"]["headGroupSpec"], *body["spec"]["workerGroupSpecs"]):
        group["template"]["spec"]["containers"][0]["volumeMounts"] = [
            {"name": "nfs", "mountPath": "/mnt"}
        ]
    assert found(tmp_path, body) == []


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where values stand, in mappings and lists alike."""
    if path:
        yield path
    if isinstance(value, dict | list):
        for step, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(inner, (*path, step))


@pytest.mark.parametrize("file", shipped())
@pytest.mark.parametrize("wrong", [None, [None, "'"], {"x": [1]}, "'", float("nan")])
def test_wrong_types_anywhere_are_findings_and_never_a_crash(file: str, wrong: Any) -> None:
    body = yaml.safe_load(shipped()[file])
    for *way, last in places(body):
        changed = deepcopy(body)
        inner = changed
        for step in way:
            inner = inner[step]
        inner[last] = wrong
        document = describe(Path(file), changed)
        if document is not None:
            assert all(one.path for one in check(document))


def test_the_table_of_rules_is_the_registered_ones() -> None:
    text = (ROOT / "docs/cluster.md").read_text()
    section = text.partition("<!-- rules -->\n")[2].partition("<!-- /rules -->")[0]
    rows = [f"| `{one.name}` | {one.level} | {one.why} |" for one in RULES.values()]
    assert section.splitlines() == ["| rule | level | why |", "|---|---|---|", *rows]


def test_other_providers_are_not_asked_for_what_is_of_aws(tmp_path: Path) -> None:
    body = yaml.safe_load(shipped()[AWS])
    body["provider"] = {"type": "gcp", "region": "us-west1", "project_id": "p"}
    for one in body["available_node_types"].values():
        one["node_config"] = {"machineType": "n1-standard-4"}
    assert found(tmp_path, body) == []
