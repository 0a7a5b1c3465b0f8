"""What `render` writes is valid for Ray and KubeRay, and nothing in an answer can change that."""

from __future__ import annotations

import os
import tempfile
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from autoshrink_ray.errors import ConfigError
from launch.clusters import answers
from launch.clusters.check import check
from launch.clusters.document import read
from launch.clusters.hardware import PROVIDERS, gpu_types
from launch.clusters.render import render, shipped

ROOT = Path(__file__).parents[3]
SCHEMAS = Path(os.environ.get("AUTOSHRINK_KUBERAY_SCHEMAS", ROOT / "../shared/kuberay"))


@st.composite
def options(draw: st.DrawFn) -> dict[str, Any]:
    provider = draw(st.sampled_from(PROVIDERS))
    share = draw(st.sampled_from([0.25, 0.5, 1.0]))
    return {
        "provider": provider,
        "gpu_type": draw(st.sampled_from(gpu_types(provider))),
        "max_workers": draw(st.integers(2, 1000)),
        "spot": draw(st.booleans()),
        "job": provider == "kuberay" and draw(st.booleans()),
        "cpus_per_trial": draw(st.sampled_from([0.5, 1.0])),
        "gpus_per_trial": share,
        "storage": draw(st.sampled_from(["s3://b/r", "gs://b/r", "s3://b/';x:y#{{a}}"])),
        "name": draw(st.from_regex(r"[a-z]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)),
        "image": draw(st.sampled_from(["a/b:ray2.60.0", "a\"\\',#{}&*!|>%`:ray2.60.0-x"])),
    }


def documents(text: str) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "file.yaml")
        path.write_text(text)
        return read(path)


@given(options())
@settings(max_examples=25)
def test_no_answers_give_a_file_with_findings(given: dict[str, Any]) -> None:
    text = render(answers.of(given))
    (document,) = documents(text)
    assert check(document) == []
    body = yaml.safe_load(text)
    image = body["docker"]["image"] if given["provider"] == "aws" else str(body)
    assert given["image"] == image or "containers" in image
    assert document.wanted.storage == given["storage"]
    assert document.wanted.gpus_per_trial == given["gpus_per_trial"]


@pytest.mark.parametrize("path", shipped())
def test_the_files_of_the_repository_are_what_render_writes(path: str) -> None:
    assert (ROOT / path).read_text() == shipped()[path]


@pytest.mark.parametrize("spot", [True, False])
def test_ray_itself_takes_the_aws_file(spot: bool, tmp_path: Path) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config
    from ray.autoscaler.v2.instance_manager.config import FileConfigReader

    path = tmp_path / "cluster.yaml"
    text = render(answers.of({"provider": "aws", "spot": spot}))
    body = yaml.safe_load(text)
    prepared = prepare_config(deepcopy(body))
    validate_config(prepared)
    assert {
        key: prepared[key] for key in body if key not in ("docker", "available_node_types")
    } == {key: body[key] for key in body if key not in ("docker", "available_node_types")}
    path.write_text(yaml.safe_dump(prepared))
    read_in = FileConfigReader(str(path)).get_cached_autoscaling_config()
    types = read_in.get_node_type_configs()
    assert types["head"].max_worker_nodes == 1  # v2 counts the head itself
    assert types["gpu-on-demand"].max_worker_nodes == (2 if spot else 8)
    assert types["gpu-on-demand"].resources == {"CPU": 4, "GPU": 1}
    assert ("gpu-spot" in types) == spot


@pytest.mark.parametrize("spot", [True, False])
def test_rays_translation_of_the_kubernetes_file(spot: bool) -> None:
    from ray.autoscaler._private.kuberay.autoscaling_config import (
        _derive_autoscaling_config_from_ray_cr,
    )

    body = yaml.safe_load(render(answers.of({"provider": "kuberay", "spot": spot})))
    config = _derive_autoscaling_config_from_ray_cr(body)
    types = config["available_node_types"]
    assert types["headgroup"]["resources"]["CPU"] == 0
    assert types["gpu-on-demand"]["resources"]["GPU"] == 1
    assert types["gpu-on-demand"]["max_workers"] == (2 if spot else 8)
    assert types["gpu-on-demand"]["min_workers"] == 0
    assert config["idle_timeout_minutes"] == 5


@pytest.mark.parametrize("job", [True, False])
@pytest.mark.parametrize("spot", [True, False])
def test_kuberays_own_schema_takes_the_file(job: bool, spot: bool) -> None:
    path = SCHEMAS / ("ray.io_rayjobs.yaml" if job else "ray.io_rayclusters.yaml")
    if not path.exists():
        pytest.skip(f"no schema of KubeRay at {path}")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    versions = yaml.load(path.read_text(), Loader=loader)["spec"]["versions"]  # noqa: S506
    (schema,) = (one["schema"]["openAPIV3Schema"] for one in versions if one["name"] == "v1")
    body = yaml.safe_load(render(answers.of({"provider": "kuberay", "spot": spot, "job": job})))
    validator = Draft7Validator(strict(schema))
    assert [error.message for error in validator.iter_errors(body)] == []
    body["spec"]["rayVersoin"] = "2.60.0"
    assert list(validator.iter_errors(body))


def strict(schema: Any, top: bool = True) -> Any:
    """The schema with unknown keys refused, as a server with strict validation does."""
    if isinstance(schema, list):
        return [strict(one, False) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    done = {key: strict(one, False) for key, one in schema.items()}
    if isinstance(schema.get("properties"), dict) and "additionalProperties" not in schema:
        done["additionalProperties"] = False
    if top:
        done["properties"]["metadata"] = {"type": "object"}
    return done


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"gpu_type": "t5"}, "t4, a10g"),
        ({"provider": "azure"}, "aws"),
        ({"max_workers": 0}, "--max-workers"),
        ({"max_workers": 1}, "one of them on demand"),
        ({"ami": "latest_dlami"}, "--ami"),
        ({"image": "x:latest"}, "2.60.0"),
        ({"image": "x:ray2.60.01"}, "2.60.0"),
        ({"image": "a\nports: [1]:ray2.60.0"}, "--image"),
        ({"storage": "runs"}, "s3://"),
        ({"storage": "file:///runs"}, "s3://"),
        ({"name": "a: b"}, "--name"),
        ({"gpus_per_trial": 2}, "does not fit"),
        ({"cpus_per_trial": 4.5}, "does not fit"),
        ({"gpus_per_trial": float("nan")}, "--gpus-per-trial"),
        ({"job": True}, "kuberay"),
        ({"security_group": "default"}, "--security-group"),
    ],
)
def test_a_wrong_answer_is_refused_by_name(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said.replace("(", r"\(")):
        answers.of({"provider": "aws", **change})


def test_trials_that_leave_a_gpu_idle_are_refused() -> None:
    with pytest.raises(ConfigError, match="idle"):
        answers.of({"provider": "aws", "gpu_type": "a100", "cpus_per_trial": 20})
