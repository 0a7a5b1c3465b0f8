"""One change a rule that makes a valid cluster file break that rule and no other."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

Change = Callable[[dict[str, Any]], None]
AWS, CLUSTER, JOB = "cluster.yaml", "launch/kuberay/raycluster.yaml", "launch/kuberay/rayjob.yaml"
MUTANTS: dict[str, tuple[str, Change]] = {}

HEAD, WORKER = "head_start_ray_commands", "worker_start_ray_commands"


def mutant(file: str) -> Callable[[Change], Change]:
    def register(change: Change) -> Change:
        MUTANTS[change.__name__.replace("_", "-")] = file, change
        return change

    return register


def edit(lines: list[str], place: int, pattern: str, new: str) -> None:
    changed, times = re.subn(pattern, new, lines[place])
    assert times == 1
    lines[place] = changed


def pod(body: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = body["spec"]["workerGroupSpecs"][0]["template"]["spec"]
    return found


@mutant(AWS)
def schema(body: dict[str, Any]) -> None:
    body["docker"]["immage"] = "x"


@mutant(AWS)
def provider_type(body: dict[str, Any]) -> None:
    body["provider"]["type"] = "awss"


@mutant(AWS)
def provider_key(body: dict[str, Any]) -> None:
    body["provider"]["regoin"] = "us-west-2"


@mutant(AWS)
def filled_in(body: dict[str, Any]) -> None:
    del body["setup_commands"]


@mutant(AWS)
def stopped_nodes(body: dict[str, Any]) -> None:
    del body["provider"]["cache_stopped_nodes"]


@mutant(CLUSTER)
def unknown_key(body: dict[str, Any]) -> None:
    body["spec"]["autoscalerOptions"]["idleTimeoutSecond"] = 60


@mutant(AWS)
def head_type(body: dict[str, Any]) -> None:
    body["available_node_types"]["data"]["max_workers"] = 0
    body["head_node_type"] = "heda"


@mutant(AWS)
def min_above_max(body: dict[str, Any]) -> None:
    body["available_node_types"]["data"]["min_workers"] = 2


@mutant(AWS)
def too_few_in_all(body: dict[str, Any]) -> None:
    body["max_workers"] = 1
    body["available_node_types"]["gpu-spot"]["min_workers"] = 2


@mutant(CLUSTER)
def replicas_outside(body: dict[str, Any]) -> None:
    body["spec"]["workerGroupSpecs"][0]["replicas"] = 9


@mutant(AWS)
def head_runs_trials(body: dict[str, Any]) -> None:
    del body["available_node_types"]["head"]["resources"]["CPU"]


@mutant(AWS)
def head_on_spot(body: dict[str, Any]) -> None:
    node = body["available_node_types"]["head"]["node_config"]
    node["InstanceMarketOptions"] = {"MarketType": "spot"}


@mutant(AWS)
def head_as_worker(body: dict[str, Any]) -> None:
    del body["available_node_types"]["head"]["max_workers"]


@mutant(AWS)
def spot_alone(body: dict[str, Any]) -> None:
    del body["available_node_types"]["gpu-on-demand"]


@mutant(AWS)
def slow_growth(body: dict[str, Any]) -> None:
    body["upscaling_speed"] = 0


@mutant(CLUSTER)
def slow_release(body: dict[str, Any]) -> None:
    body["spec"]["autoscalerOptions"]["idleTimeoutSeconds"] = 86400


@mutant(AWS)
def trial_too_large(body: dict[str, Any]) -> None:
    body["metadata"]["gpus_per_trial"] = 2


@mutant(CLUSTER)
def idle_gpu(body: dict[str, Any]) -> None:
    group = body["spec"]["workerGroupSpecs"][0]
    group["rayStartParams"]["num-gpus"] = "2"
    group["rayStartParams"]["num-cpus"] = "4"


@mutant(AWS)
def part_of_a_gpu(body: dict[str, Any]) -> None:
    body["metadata"]["gpus_per_trial"] = 0.4


@mutant(JOB)
def local_storage(body: dict[str, Any]) -> None:
    entrypoint = body["spec"]["entrypoint"]
    body["spec"]["entrypoint"] = entrypoint.replace("s3://my-bucket", "/tmp")  # noqa: S108


@mutant(AWS)
def instance_profile(body: dict[str, Any]) -> None:
    del body["available_node_types"]["gpu-spot"]["node_config"]["IamInstanceProfile"]


@mutant(AWS)
def image_release(body: dict[str, Any]) -> None:
    body["docker"]["image"] = "rayproject/ray:latest-gpu"


@mutant(CLUSTER)
def ray_version(body: dict[str, Any]) -> None:
    body["spec"]["rayVersion"] = "2.59.0"


@mutant(AWS)
def other_ray(body: dict[str, Any]) -> None:
    body["setup_commands"].append("pip install -U 'ray[default]'")


@mutant(AWS)
def token_mode(body: dict[str, Any]) -> None:
    edit(body[WORKER], 1, "RAY_AUTH_MODE=token ", "")


@mutant(AWS)
def token_file(body: dict[str, Any]) -> None:
    body["file_mounts"].clear()


@mutant(AWS)
def token_in_file(body: dict[str, Any]) -> None:
    edit(body[WORKER], 1, "ray start", "RAY_AUTH_TOKEN=secret ray start")


@mutant(AWS)
def open_dashboard(body: dict[str, Any]) -> None:
    edit(body[HEAD], 1, "127.0.0.1", "0.0.0.0")  # noqa: S104 - what is to be found


@mutant(AWS)
def open_security_group(body: dict[str, Any]) -> None:
    del body["available_node_types"]["data"]["node_config"]["SecurityGroupIds"]


@mutant(AWS)
def open_port(body: dict[str, Any]) -> None:
    rule = {"FromPort": 8265, "ToPort": 8265, "IpProtocol": "tcp"}
    rule["IpRanges"] = [{"CidrIp": "0.0.0.0/0"}]  # type: ignore[assignment]
    body["provider"]["security_group"] = {"GroupName": "nodes", "IpPermissions": [rule]}


@mutant(CLUSTER)
def token_release(body: dict[str, Any]) -> None:
    del body["spec"]["rayVersion"]


@mutant(AWS)
def starts_nothing(body: dict[str, Any]) -> None:
    del body[WORKER][1]


@mutant(AWS)
def old_ray_first(body: dict[str, Any]) -> None:
    del body[HEAD][0]


@mutant(AWS)
def no_autoscaler(body: dict[str, Any]) -> None:
    edit(body[HEAD], 1, r"--autoscaling-config=\S+", "")


@mutant(AWS)
def port_differs(body: dict[str, Any]) -> None:
    edit(body[HEAD], 1, "--port=6379", "--port=6380")


@mutant(CLUSTER)
def namespace(body: dict[str, Any]) -> None:
    del body["metadata"]["namespace"]


@mutant(CLUSTER)
def autoscaling_off(body: dict[str, Any]) -> None:
    del body["spec"]["enableInTreeAutoscaling"]


@mutant(CLUSTER)
def autoscaler_version(body: dict[str, Any]) -> None:
    body["spec"]["autoscalerOptions"]["version"] = "v1"


@mutant(CLUSTER)
def restart_policy(body: dict[str, Any]) -> None:
    pod(body)["restartPolicy"] = "Always"


@mutant(CLUSTER)
def grace_period(body: dict[str, Any]) -> None:
    pod(body)["terminationGracePeriodSeconds"] = 30


@mutant(CLUSTER)
def gpu_limit(body: dict[str, Any]) -> None:
    # As written out: requests and limits are one anchor.
    pod(body)["containers"][0]["resources"] = {"limits": {"cpu": "4", "memory": "12Gi"}}


@mutant(JOB)
def job_starts_anew(body: dict[str, Any]) -> None:
    entrypoint = body["spec"]["entrypoint"]
    body["spec"]["entrypoint"] = entrypoint.replace("--name autoshrink-ray ", "")


@mutant(JOB)
def driver_on_worker(body: dict[str, Any]) -> None:
    body["spec"]["entrypointNumGpus"] = 1


@mutant(JOB)
def two_ways_to_delete(body: dict[str, Any]) -> None:
    rule = {"policy": "DeleteCluster", "condition": {"jobStatus": "SUCCEEDED"}}
    body["spec"]["deletionStrategy"] = {"deletionRules": [rule]}


@mutant(JOB)
def never_deleted(body: dict[str, Any]) -> None:
    del body["spec"]["shutdownAfterJobFinishes"]
