"""Checkpoints: complete or not there, the newest and the best are found, the rest goes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from autoshrink_ray.errors import FileFormatError, StorageError
from autoshrink_ray.storage import Folder
from trainables.final.checkpoints import Checkpoint, Checkpoints, EpochRecord
from trainables.final.contracts import State

TINY = {"weight": torch.arange(3.0)}


def record(epoch: int, attempt: int = 0, accuracy: float = 0.5) -> EpochRecord:
    return {"epoch": epoch, "attempt": attempt, "seconds": 0.1, "accuracy": accuracy}


def written(folder: Folder, *records: EpochRecord, tensors: dict[str, Tensor] = TINY) -> list[str]:
    """Writes a checkpoint after each epoch; the warnings."""
    warnings: list[str] = []
    checkpoints = Checkpoints(folder, "accuracy", warnings.append)
    for number in range(1, len(records) + 1):
        checkpoints.write(State(tensors, {"number": number}), records[:number])
    return warnings


def found(checkpoint: Checkpoint | None) -> tuple[int, int]:
    """Attempt and epoch."""
    assert checkpoint is not None
    return checkpoint.manifest.age


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(str(tmp_path / "checkpoints"))


DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.bool]
tensors = st.tuples(
    st.sampled_from(DTYPES), st.lists(st.integers(0, 3), max_size=3), st.integers(0, 2**32)
)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


def random_tensor(dtype: torch.dtype, shape: list[int], seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(shape, generator=generator) * 100).to(dtype)


@given(st.lists(tensors, max_size=4), st.dictionaries(st.text(), values, max_size=3))
def test_a_state_comes_back_to_the_bit(
    tmp_path_factory: pytest.TempPathFactory,
    made_of: list[tuple[torch.dtype, list[int], int]],
    plain: dict[str, Any],
) -> None:
    state = State({f"t{i}": random_tensor(*made) for i, made in enumerate(made_of)}, plain)
    checkpoints = Checkpoints(Folder(str(tmp_path_factory.mktemp("state"))), "accuracy")
    checkpoints.write(state, [record(1)])
    latest = checkpoints.latest()
    assert latest is not None
    assert latest.state.values == plain
    assert latest.state.tensors.keys() == state.tensors.keys()
    for name, tensor in state.tensors.items():
        again = latest.state.tensors[name]
        assert (again.dtype, again.shape) == (tensor.dtype, tensor.shape)
        assert torch.equal(again, tensor)


def test_tensors_that_share_memory_or_are_no_block_of_it_can_be_written(folder: Folder) -> None:
    matrix = torch.arange(6.0).reshape(2, 3)
    state = {"a": matrix, "same": matrix, "transposed": matrix.T, "column": matrix[:, 1]}
    written(folder, record(1), tensors=state)
    latest = Checkpoints(folder, "accuracy").latest()
    assert latest is not None
    for name, tensor in state.items():
        assert torch.equal(latest.state.tensors[name], tensor)


def test_nan_in_weights_and_history_comes_back(folder: Folder) -> None:
    written(folder, record(1, accuracy=float("nan")), tensors={"w": torch.full((2,), torch.nan)})
    latest = Checkpoints(folder, "accuracy").latest()
    assert latest is not None
    assert latest.state.tensors["w"].isnan().all()


def kept(folder: Folder) -> set[int]:
    names = {name for name in folder.files() if name.endswith(".json")}
    assert {n.replace(".json", ".safetensors") for n in names} | names == set(folder.files())
    return {int(name[6:11]) for name in names}


@given(st.lists(st.sampled_from([0.1, 0.2, 0.3, float("nan")]), min_size=1, max_size=9))
def test_the_last_two_and_the_best_are_kept(
    tmp_path_factory: pytest.TempPathFactory, curve: list[float]
) -> None:
    folder = Folder(str(tmp_path_factory.mktemp("kept")))
    records = [record(epoch, accuracy=value) for epoch, value in enumerate(curve, start=1)]
    assert written(folder, *records) == []
    # Never worse than 0: NaN counts as less than everything.
    best = 1 + max(
        range(len(curve)), key=lambda i: (-1.0 if curve[i] != curve[i] else curve[i], -i)
    )
    assert kept(folder) == {len(curve), max(1, len(curve) - 1), best}
    checkpoints = Checkpoints(folder, "accuracy")
    assert found(checkpoints.latest()) == (0, len(curve))
    assert found(checkpoints.best()) == (0, best)


def test_of_perplexities_the_least_is_the_best(folder: Folder) -> None:
    checkpoints = Checkpoints(folder, "perplexity")
    history: list[EpochRecord] = []
    for epoch, perplexity in enumerate([90.0, 40.0, 60.0, 70.0], start=1):
        history.append({"epoch": epoch, "attempt": 0, "seconds": 1.0, "perplexity": perplexity})
        checkpoints.write(State(TINY, {}), history)
    assert found(checkpoints.best()) == (0, 2)
    assert kept(folder) == {2, 3, 4}


def test_what_came_after_a_training_was_put_back_is_newer(folder: Folder) -> None:
    curve = [0.5, 0.9, 0.6, 0.7]
    written(folder, *(record(i, accuracy=value) for i, value in enumerate(curve, start=1)))
    checkpoints = Checkpoints(folder, "accuracy")
    history = [record(1, accuracy=0.5), record(2, accuracy=0.9)]
    for epoch in (3, 4):
        history.append(record(epoch, attempt=1, accuracy=0.1))
        checkpoints.write(State(TINY, {}), history)
        assert found(checkpoints.latest()) == (1, epoch)
        assert found(checkpoints.best()) == (0, 2)
    assert kept(folder) == {2, 3, 4}
    assert [r["attempt"] for r in checkpoints.history()] == [0, 0, 1, 1]


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


DAMAGE = {
    "tensors flipped": ("epoch-00003.safetensors", flip),
    "tensors cut": ("epoch-00003.safetensors", cut),
    "tensors empty": ("epoch-00003.safetensors", lambda path: path.write_bytes(b"")),
    "tensors gone": ("epoch-00003.safetensors", Path.unlink),
    "manifest cut": ("epoch-00003.json", cut),
    "manifest empty": ("epoch-00003.json", lambda path: path.write_bytes(b"")),
    "manifest of another": ("epoch-00003.json", lambda path: path.write_text("[1]")),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_checkpoint_is_named_and_passed_over(folder: Folder, name: str) -> None:
    written(folder, record(1), record(2), record(3))
    file, damage = DAMAGE[name]
    damage(Path(folder.path, file))
    warnings: list[str] = []
    checkpoints = Checkpoints(folder, "accuracy", warnings.append)
    assert found(checkpoints.latest()) == (0, 2)
    assert file in warnings[0]
    assert len(warnings) == 1


def test_without_its_manifest_a_checkpoint_does_not_exist(folder: Folder) -> None:
    written(folder, record(1), record(2))
    folder.remove("epoch-00002.json")
    warnings: list[str] = []
    checkpoints = Checkpoints(folder, "accuracy", warnings.append)
    assert found(checkpoints.latest()) == (0, 1)
    assert warnings == []


def test_the_manifest_is_written_last(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []
    write = Folder.write

    def noting(self: Folder, name: str, content: bytes) -> None:
        names.append(name)
        write(self, name, content)

    monkeypatch.setattr(Folder, "write", noting)
    written(folder, record(1))
    assert names == ["epoch-00001.safetensors", "epoch-00001.json"]


def test_a_newer_format_is_refused(folder: Folder) -> None:
    written(folder, record(1))
    manifest = json.loads(folder.read("epoch-00001.json")) | {"schema_version": 2}
    folder.write("epoch-00001.json", json.dumps(manifest).encode())
    with pytest.raises(FileFormatError, match="upgrade autoshrink_ray"):
        Checkpoints(folder, "accuracy").read(1, 0)


def test_one_of_another_attempt_is_not_taken(folder: Folder) -> None:
    written(folder, record(1))
    with pytest.raises(FileFormatError, match="is of attempt 0, not 1"):
        Checkpoints(folder, "accuracy").read(1, 1)


def test_tidying_deletes_what_a_killed_process_left(folder: Folder) -> None:
    written(folder, record(1), record(2))
    folder.write("epoch-00003.safetensors", b"no manifest came")
    folder.write("epoch-00003.json.0123.tmp", b"half")
    folder.write("mine.txt", b"not ours")
    checkpoints = Checkpoints(folder, "accuracy")
    checkpoints.tidy()
    assert kept_and(folder, "mine.txt") == {1, 2}


def kept_and(folder: Folder, other: str) -> set[int]:
    folder.remove(other)
    return kept(folder)


def test_a_full_disk_leaves_the_previous_checkpoint_usable(small_disk: Path) -> None:
    folder = Folder(str(small_disk / "checkpoints"))
    large = {"weight": torch.rand(20_000)}  # 80 kB: three do not fit beside each other
    with pytest.raises(StorageError, match="No space left"):
        written(folder, *(record(epoch) for epoch in range(1, 5)), tensors=large)
    warnings: list[str] = []
    latest = Checkpoints(folder, "accuracy", warnings.append).latest()
    assert found(latest) == (0, 3)
    assert latest is not None
    assert torch.equal(latest.state.tensors["weight"], large["weight"])
    assert warnings == []
    assert not [name for name in folder.files() if name.endswith(".tmp")]
