"""What a preflight makes of the nodes' answers, and what a node finds where it stands."""

from __future__ import annotations

import platform
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autoshrink_ray.cluster import Resources
from autoshrink_ray.errors import ConfigError, DataError, StorageError, UsageError
from autoshrink_ray.preflight import faults, needed_modules, there
from autoshrink_ray.preflight.checks import PACKAGES, Needs, Survey
from autoshrink_ray.preflight.faults import FAULTS, Fault
from autoshrink_ray.preflight.joining import Releases, require_same_releases
from autoshrink_ray.preflight.nodes import Node, Report
from autoshrink_ray.preflight.storage import probes
from autoshrink_ray.preflight.there import DRIVERS, OTHER, UNSEEN, look
from autoshrink_ray.runfile import release

DOCS = Path(__file__).parents[2] / "docs" / "preflight.md"

HERE = {"python": platform.python_version()} | {name: release(name) for name in PACKAGES}
NEEDS = Needs(Resources(1, 0), ("s3://bucket/runs",), (), (("/data", "a.png"),))


@pytest.fixture(autouse=True)
def _a_prompt_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(there, "DELAY", 0.2)


def report(name: str, **said: Any) -> Report:
    return Report(Node(name, name, {"CPU": 1}), **{"releases": HERE, **said})


def refused(*reports: Report, unlike: dict[tuple[int, str], str] | None = None) -> UsageError:
    with pytest.raises(UsageError) as raised:
        Survey(NEEDS, [report("good"), *reports], unlike or {}).require()
    return raised.value


def test_nodes_that_have_everything_pass() -> None:
    Survey(NEEDS, [report("a"), report("b")], {}).require()


def test_no_node_yet_is_no_error_and_no_success_either() -> None:
    survey = Survey(NEEDS, [], {})
    assert [check.run().rpartition(": ")[2] for check in survey.checks] == ["not checked"] * 3


@pytest.mark.parametrize("package", ["python", "ray", "autoshrink-ray"])
def test_another_release_on_a_node_is_refused(package: str) -> None:
    error = refused(report("bad", releases=HERE | {package: "0.0.1"}))
    assert isinstance(error, ConfigError)
    assert f"node bad has {package} 0.0.1 and this process has {HERE[package]};" in str(error)


def test_code_that_was_uploaded_has_no_release() -> None:
    Survey(NEEDS, [report("a", releases=HERE | {"autoshrink-ray": "not installed"})], {}).require()


def test_another_torch_is_no_error() -> None:
    Survey(NEEDS, [report("a", releases=HERE | {"torch": "0.0.1"})], {}).require()


def test_a_node_that_said_nothing_is_refused() -> None:
    assert "node bad did not start a worker" in str(
        refused(Report(Node("b", "bad", {}), silent="x"))
    )


@pytest.mark.parametrize("reason", [UNSEEN, OTHER])
def test_another_disk_and_missing_rights_are_told_apart(reason: str) -> None:
    other = refused(report("bad", probes={0: reason}))
    rights = refused(report("bad", probes={0: "cannot write x: ACCESS_DENIED"}))
    assert isinstance(other, StorageError)
    assert isinstance(rights, StorageError)
    assert "is not the same place on node bad" in str(other)
    assert "node bad cannot use the storage s3://bucket/runs: cannot write" in str(rights)


def test_what_a_node_wrote_has_to_be_seen_here() -> None:
    error = refused(report("bad"), unlike={(0, "bad"): "what the node wrote there is not seen"})
    assert "is not the same place on node bad: what the node wrote" in str(error)


def test_a_file_that_a_node_does_not_find_is_refused() -> None:
    error = refused(report("bad", files={0: "there is no such file"}))
    assert isinstance(error, DataError)
    assert "node bad cannot read /data/a.png: there is no such file;" in str(error)


RELEASES = st.builds(Releases, st.sampled_from(["2.60.0", "2.9"]), st.sampled_from(["3.11.7", "3"]))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(RELEASES, RELEASES)
def test_both_sides_are_the_same_to_the_last_digit(theirs: Releases, ours: Releases) -> None:
    if theirs == ours:
        require_same_releases("head:6379", theirs, ours)
        return
    with pytest.raises(ConfigError, match="to the last digit"):
        require_same_releases("head:6379", theirs, ours)


PARTS = st.integers(0, 10_000).map(lambda parts: parts / 10_000)
"""Parts of a resource, as fine as Ray counts."""


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cpus=st.integers(1, 4),
    asked=PARTS.map(lambda part: 5 * part or 1),
    gpus=st.integers(0, 4),
    asked_gpus=PARTS | st.integers(2, 6),
)
def test_a_node_fits_what_a_trial_can_be_placed_on(
    cpus: float, asked: float, gpus: float, asked_gpus: float
) -> None:
    node = Node("a", "a", {"CPU": cpus, "GPU": gpus})
    fits = node.fits(Resources(asked, asked_gpus))
    assert fits == (asked <= cpus and asked_gpus <= gpus)


def seen(place: Path, content: bytes = b"x", **more: Any) -> dict[str, Any]:
    asked = {"modules": ("autoshrink_ray",), "packages": ("ray",), "files": ()} | more
    return look(probes=[str(place)], content=content, mine="node", **asked)


def test_a_node_writes_only_where_it_sees_what_the_driver_wrote(tmp_path: Path) -> None:
    (tmp_path / "same").mkdir()
    (tmp_path / "same" / DRIVERS).write_bytes(b"x")
    assert seen(tmp_path / "same")["probes"] == {}
    assert (tmp_path / "same" / "node").read_bytes() == b"x"
    assert seen(tmp_path / "same", b"y")["probes"] == {0: OTHER}
    assert seen(tmp_path / "other")["probes"] == {0: UNSEEN}
    assert not (tmp_path / "other").exists()


def test_modules_that_are_not_there_are_named(tmp_path: Path) -> None:
    """Without importing any."""
    absent = ("no_such_module", "no_such_package.module", "json.no", "", "os.path.x")
    present = ("autoshrink_ray", "antigravity", "xml.etree.ElementInclude")
    answer = seen(tmp_path, modules=(*present, *absent))
    assert answer["missing"] == list(absent)
    assert "antigravity" not in sys.modules
    assert answer["releases"]["ray"] == HERE["ray"]


def test_what_nodes_wrote_is_read_back(tmp_path: Path) -> None:
    with probes([str(tmp_path)]) as (probe,):
        probe.folder.write("good", probe.content)
        probe.folder.write("bad", b"other")
        unlike = probe.unlike(["good", "bad", "none"])
    assert unlike == {
        "bad": "what the node wrote there has other content here",
        "none": "what the node wrote there is not seen from here",
    }


def test_a_probe_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError), probes([str(tmp_path / "a"), str(tmp_path / "file/b")]):
        pass
    assert list((tmp_path / "a").iterdir()) == []


def test_modules_are_those_of_plugins_and_what_is_looked_up() -> None:
    modules = needed_modules(("my.plugin",), "my.plugin:SPACE", "other:TASK")
    assert modules[:3] == ("autoshrink_ray", "search_spaces", "trainables")
    assert [m for m in modules[3:] if m != "torch"] == ["my.plugin", "other"]


def test_every_fault_is_listed() -> None:
    assert set(FAULTS) == {found for found in vars(faults).values() if isinstance(found, Fault)}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.message[:40])
def test_the_documentation_has_every_message_and_remedy(fault: Fault) -> None:
    row = f"| {fault.check} | {fault.message} | {fault.remedy} |"
    assert row.replace("{address!r}", "{address}") in DOCS.read_text().splitlines()
