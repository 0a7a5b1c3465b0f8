"""What is checked before a run starts on a cluster whose nodes are not all alike."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import ray
from ray._common.usage.usage_constants import CLUSTER_METADATA_KEY
from ray._raylet import GcsClient
from ray.cluster_utils import Cluster

from autoshrink_ray.errors import ConfigError
from autoshrink_ray.preflight import joining
from tests.ray.preflighting import BIG

pytestmark = pytest.mark.ray

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-c", "from launch.cli import main; main()"]


class Machines(NamedTuple):
    """A head without CPUs, a worker, and a worker that has a disk of its own at `elsewhere`."""

    address: str
    shared: Path
    elsewhere: Path


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    folder = tmp_path_factory.mktemp("machines")
    shared, elsewhere = folder / "shared", folder / "elsewhere"
    shared.mkdir()
    elsewhere.mkdir()
    (shared / "data").touch()
    (elsewhere / "only_here.py").touch()
    patch = pytest.MonkeyPatch()
    patch.setenv("PYTHONPATH", str(ROOT))  # the nodes' own; what is below is the driver's alone
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False}
    )
    try:
        cluster.add_node(num_cpus=1)
        with another_machine(cluster, elsewhere):
            yield Machines(cluster.address, shared, elsewhere)
    finally:
        cluster.shutdown()
        patch.undo()


@contextmanager
def another_machine(cluster: Cluster, folder: Path) -> Iterator[None]:
    """A node in namespaces of its own: it sees an empty disk where the others see a folder."""
    apart = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if os.geteuid() != 0 or subprocess.run([*apart, "true"], check=False).returncode:
        pytest.skip("this account may not make a node with another disk")
    start = f"{Path(sys.executable).parent}/ray start --address={cluster.address} --block"
    options = f"--num-cpus={BIG} --num-gpus=0 --object-store-memory=100000000"
    mounted = f"mount -t tmpfs tmpfs '{folder}' && exec {start} {options} --disable-usage-stats"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([*apart, "sh", "-c", mounted], **quiet)
    try:
        until_there_are(3, cluster, process)
        yield
    finally:
        process.kill()  # the namespace ends with its first process, and all others in it
        process.wait()


def until_there_are(wanted: int, cluster: Cluster, process: subprocess.Popen[bytes]) -> None:
    client, deadline = GcsClient(address=cluster.address), time.monotonic() + 120
    while sum(node.state == 0 for node in client.get_all_node_info().values()) < wanted:
        assert process.poll() is None, "the node ended"
        assert time.monotonic() < deadline, "the node did not come"
        time.sleep(0.2)


@pytest.fixture(scope="module")
def tried(machines: Machines) -> dict[str, Any]:
    """What became of everything that a driver tried."""
    places = [machines.address, str(machines.shared), str(machines.elsewhere)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.ray.preflighting", *places],
        cwd=machines.elsewhere,  # Ray adds it to the path of workers
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    (big,) = (node for node, cpus in found["nodes"].items() if cpus == BIG)
    return {**found["tried"], "node": big}


def test_a_run_whose_nodes_share_the_storage_starts(
    machines: Machines, tried: dict[str, Any]
) -> None:
    assert "error" not in tried["a shared path"]
    assert {path.name for path in machines.shared.iterdir()} == {"data", "run"}


def test_a_disk_of_its_own_is_refused_and_the_node_named(
    machines: Machines, tried: dict[str, Any]
) -> None:
    """Nothing of the run is there, on either side."""
    refused = tried["another disk"]
    assert refused["error"] == "StorageError"
    assert f"{tried['node']}): a file that the driver has just written" in refused["text"]
    assert "a network file system that all of them mount" in refused["text"]
    assert list((machines.elsewhere / "runs").iterdir()) == []


def test_a_module_that_one_node_lacks_is_refused(tried: dict[str, Any]) -> None:
    refused = tried["a module of one disk"]
    assert refused["error"] == "ConfigError"
    assert f"{tried['node']}) cannot import only_here; install" in refused["text"]


def test_data_that_workers_would_not_find_are_refused(tried: dict[str, Any]) -> None:
    refused = tried["data of one disk"]
    assert refused["error"] == "DataError"
    assert "only_here.py: there is no such file; workers of a training" in refused["text"]
    assert tried["shared data"]["notes"] == []


def test_nodes_that_are_not_there_yet_are_no_error(tried: dict[str, Any]) -> None:
    (note,) = tried["no such node yet"]["notes"]
    assert note.startswith("no node that could hold a trial is up yet")


def test_a_node_too_small_for_a_trial_is_not_asked(tried: dict[str, Any]) -> None:
    assert "error" not in tried["another disk for no trial"]


def doctor(machines: Machines, storage: Path, *more: str) -> subprocess.CompletedProcess[str]:
    options = ["doctor", "--plugin", "tests.plugins.table", "--space", "table"]
    place = ["--address", machines.address, "--storage", str(storage)]
    known = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [*COMMAND, *options, *place, *more],
        cwd=machines.shared,
        env=known | {"COLUMNS": "300"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_doctor_asks_every_node_and_tries_a_candidate_there(machines: Machines) -> None:
    done = doctor(machines, machines.shared, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["ready"]
    assert [check["name"] for check in found["checks"]] == [
        *("versions", "cluster", "resources", "storage", "nodes", "storage on nodes", "data"),
        "one candidate",
    ]
    assert sorted(node["CPUs"] for node in found["nodes"]) == [1, BIG]
    assert {node["ray"] for node in found["nodes"]} == {ray.__version__}
    assert not list(machines.shared.glob(".*"))


def test_doctor_says_which_node_has_another_disk(machines: Machines) -> None:
    done = doctor(machines, machines.elsewhere)
    assert done.returncode == 1, done.stderr
    (failure,) = (line for line in done.stdout.splitlines() if line.startswith("FAIL"))
    assert "is not the same place on node" in failure
    assert "Traceback" not in done.stderr


def search(address: str, **environment: str | None) -> str:
    """What the command says to a cluster that refuses it."""
    known = {**os.environ, **{k: v for k, v in environment.items() if v is not None}}
    for gone in (name for name, value in environment.items() if value is None):
        del known[gone]
    options = ["search", "--plugin", "tests.plugins.table", "--space", "table"]
    folder = Path(str(known["HOME"]))
    known["PYTHONPATH"] = str(ROOT)
    done = subprocess.run(
        [*COMMAND, *options, "--address", address],
        env=known,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (done.returncode, done.stderr.count("error:")) == (2, 1), done.stderr
    assert "Traceback" not in done.stderr
    assert not list((folder / "runs").iterdir())
    return done.stderr


def test_a_wrong_token_is_refused(machines: Machines, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(secrets.token_hex(32))
    token = {"RAY_AUTH_TOKEN_PATH": str(tmp_path / "token")}
    assert "does not take the token of this process; copy" in search(
        machines.address, HOME=str(tmp_path), **token
    )


@pytest.mark.parametrize("mode", ["token", None])
def test_a_token_that_is_asked_for_and_not_there_is_missed(
    machines: Machines, tmp_path: Path, mode: str | None
) -> None:
    """Ray itself ends the process where the mode is on and there is no token."""
    without = {"RAY_AUTH_MODE": mode, "RAY_AUTH_TOKEN_PATH": None}
    said = search(machines.address, HOME=str(tmp_path), **without)
    assert "asks for a token, and this process has none to show; set RAY_AUTH_MODE=token" in said


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("python_version", "3.10.4", r"runs Python 3\.10\.4 and this process Python 3\.11\."),
        ("ray_version", "2.9.3", r"runs Ray 2\.9\.3 and this process Ray 2\.60\.0; both"),
    ],
)
def test_a_cluster_of_other_releases_is_refused(
    machines: Machines, key: str, value: str, message: str
) -> None:
    """The head says what it was started with."""
    client = GcsClient(address=machines.address)
    said = client.internal_kv_get(CLUSTER_METADATA_KEY, namespace=b"cluster")
    other = json.dumps(json.loads(said) | {key: value}).encode()
    client.internal_kv_put(CLUSTER_METADATA_KEY, other, True, namespace=b"cluster")
    try:
        with pytest.raises(ConfigError, match=message):
            joining.require_joinable(machines.address)
    finally:
        client.internal_kv_put(CLUSTER_METADATA_KEY, said, True, namespace=b"cluster")
    assert joining.require_joinable(machines.address) == joining.Releases.here()


def test_a_port_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "PATIENCE", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(ConfigError, match="nothing came back within 1 s; is it the head"):
            joining.require_joinable(address)


def test_a_web_server_is_no_head_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "PATIENCE", 2.0)
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"127.0.0.1:{server.server_port}"
        with pytest.raises(ConfigError, match=f"no Ray cluster answers at '{address}'"):
            joining.require_joinable(address)
        server.shutdown()


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:8265", "ray://head:10001", "head", "head:0", "head:99999", ":1"]
)
def test_an_address_has_the_form_of_one(address: str) -> None:
    with pytest.raises(ConfigError, match="an address is HOST:PORT of a head node or `auto`"):
        joining.require_joinable(address)
