"""How much later a search on a joined cluster starts, since its nodes are asked first.

    python -m tests.bench.preflight --nodes 8 --drivers 3

Starts a cluster of simulated nodes of one CPU on this machine. Each driver joins it and asks all
nodes twice, or starts its first tasks without asking: worker processes start with either.
"""

from __future__ import annotations

import argparse
import os
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def seconds(action: Callable[[], Any]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


@contextmanager
def cluster(nodes: int) -> Iterator[str]:
    from ray.cluster_utils import Cluster

    small = {"object_store_memory": 80_000_000}
    head = {"num_cpus": 0, "include_dashboard": False, **small}
    made = Cluster(initialize_head=True, head_node_args=head)
    try:
        for _ in range(nodes):
            made.add_node(num_cpus=1, **small)
        yield made.address
    finally:
        made.shutdown()


def measure(address: str, storage: str, nodes: int, drivers: int) -> None:
    import ray

    from autoshrink_ray.cluster import Resources, connection
    from autoshrink_ray.preflight import Needs, needed_modules, require_nodes
    from autoshrink_ray.preflight.joining import require_joinable

    def tasks() -> None:
        nothing = ray.remote(num_cpus=1)(lambda: None)
        ray.get([nothing.remote() for _ in range(nodes)])

    needs = Needs(Resources(1, 0), (storage,), needed_modules(()))
    print(f"the head was asked in {seconds(lambda: require_joinable(address)):.3f} s")
    for _ in range(drivers):
        with connection(address):
            first, again = (seconds(lambda: require_nodes(needs)) for _ in range(2))
            print(f"asked: {first:.2f} s, again {again:.2f} s, first tasks {seconds(tasks):.2f} s")
        with connection(address):
            print(f"not asked: first tasks {seconds(tasks):.2f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--nodes", type=int, default=8)
    parser.add_argument("--drivers", type=int, default=3)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="autoshrink-ray-bench-") as folder:
        token = Path(folder, "token")
        token.write_text(secrets.token_hex(32))
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
        with cluster(chosen.nodes) as address:
            measure(address, str(Path(folder, "runs")), chosen.nodes, chosen.drivers)


if __name__ == "__main__":
    main()
