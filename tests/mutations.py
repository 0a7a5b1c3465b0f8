"""Damages files: bit by bit, and in what they say."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any, Literal
from unittest import mock

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from autoshrink_ray import plugins
from autoshrink_ray.errors import AutoshrinkError
from autoshrink_ray.files import NOT_YAML

Form = Literal["json", "yaml", "safetensors", "parquet"]


@dataclass(frozen=True)
class Subject:
    """A file that we read.

    Attributes:
        content: A whole one.
        form: What it is made of.
        read: Reads one, and does with it what users of the file do first.
    """

    content: bytes
    form: Form
    read: Callable[[bytes], object]

    def survives(self, content: bytes) -> bool:
        """Whether `content` is read; False if it is refused with an error of ours.

        Raises:
            Exception: Any other one is what a fuzzer looks for.
        """
        try:
            self.read(content)
        except AutoshrinkError as error:
            if not str(error):
                raise AssertionError(f"{type(error).__name__} says nothing") from error
            return False
        return True


def same_packages() -> AbstractContextManager[object]:
    """Installed packages are looked through once: they stay the same, and it takes 10 ms."""
    return mock.patch.object(plugins, "entry_points", cache(plugins.entry_points))


def mutated(subject: Subject, rng: Random) -> bytes:
    """The subject's content with one to three damages."""
    content = subject.content
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        content = rng.choice([_in_bytes, _in_meaning])(content, subject.form, rng)
    return content


# Bit by bit

_TEXTS = [
    *(b"[" * 20_000, b'{"a":' * 20_000, b"- " * 500, b"9" * 5000, b"1" + b"0" * 400, b"1e999"),
    *(b"NaN", b"-Infinity", b'"\\ud800"', b"\\u0000", b"\x00", b"\xff\xfe", b"\xef\xbb\xbf"),
    *(b"!!int ", b"!!float ", b"!!bool x", b"!!timestamp x", b"!!binary x", b"!!set {a}", b"!!a "),
    *(b"!!python/object/apply:os.getcwd []", b"&a [*a]", b"&a {x: *a}", b"*a", b"<<: ", b"? [a]"),
    *(b"2001-99-99", b"190:20:30", b"0x", b": ", b"\t", b"---\n", b"%YAML 9.9\n", b"null", b"{}"),
]


def _in_bytes(content: bytes, form: Form, rng: Random) -> bytes:
    start = rng.randint(0, len(content))
    end = rng.choice([start + 1, rng.randint(start, len(content))])
    kind = rng.choice(["flip", "truncate", "delete", "insert", "overwrite", "twice", "text"])
    match kind:
        case "flip":
            flipped = bytes(byte ^ (1 << rng.randrange(8)) for byte in content[start : start + 1])
            return content[:start] + flipped + content[start + 1 :]
        case "truncate":
            return content[:start]
        case "delete":
            return content[:start] + content[end:]
        case "insert":
            return content[:start] + rng.randbytes(rng.randint(1, 8)) + content[start:]
        case "overwrite":
            extent = len(content[start:end])
            return content[:start] + rng.randbytes(min(extent, 64)) + content[start + extent :]
        case "twice":
            return content[:end] + content[start:]
        case _:
            return content[:start] + rng.choice(_TEXTS) + content[start:]


# In what they say

_DEEP: Any = []
for _ in range(300):
    _DEEP = [_DEEP]

_VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 2, 10**6, 2**31, 2**63, 2**64, 10**30, 10**400),
    *(0.5, -0.0, 1e-300, 1e300, float("nan"), float("inf")),
    *("", "x", "0", "1", "complete", "out_of_memory", "ü\x00\n", "a/../b", "s3://", "x" * 10_000),
    *([], [[]], [0], [0, 1], [[0, 1]], [None], ["x"], {}, {"a": {}}, {"": None}, _DEEP),
    *([1] * 1000, [[0, 1]] * 50, ["sep3x3"] * 12, {str(n): n for n in range(100)}),
]


def _in_meaning(content: bytes, form: Form, rng: Random) -> bytes:
    """A change that leaves the file readable as what it is made of."""
    try:
        return _CHANGES[form](content, rng)
    except (*NOT_YAML, TypeError, OSError, pa.ArrowException):
        return _in_bytes(content, form, rng)  # it is damaged already


def _json_changed(content: bytes, rng: Random) -> bytes:
    return json.dumps(_changed(json.loads(content), rng)).encode()


def _yaml_changed(content: bytes, rng: Random) -> bytes:
    return yaml.safe_dump(_changed(yaml.safe_load(content), rng), sort_keys=False).encode()


def _changed(tree: Any, rng: Random) -> Any:
    """`tree` with one place in it changed; each level is as likely as the next."""
    if isinstance(tree, dict) and tree and rng.random() < 0.85:
        key = rng.choice(list(tree))
        match rng.randrange(8):
            case 0:
                return {k: v for k, v in tree.items() if k != key}
            case 1:
                return tree | {rng.choice(["", "x", key.upper(), "schema_version"]): tree[key]}
            case _:
                return tree | {key: _changed(tree[key], rng)}
    if isinstance(tree, list) and tree and rng.random() < 0.85:
        place = rng.randrange(len(tree))
        match rng.randrange(8):
            case 0:
                return tree[:place] + tree[place + 1 :]
            case 1:
                return [*tree, tree[place]]
            case _:
                return [*tree[:place], _changed(tree[place], rng), *tree[place + 1 :]]
    if isinstance(tree, int | float) and rng.random() < 0.3:
        return rng.choice([tree + 1, -tree, tree * 2, str(tree), float(tree)])
    return rng.choice(_VALUES)


def _safetensors_changed(content: bytes, rng: Random) -> bytes:
    size = int.from_bytes(content[:8], "little")
    header = _json_changed(content[8 : 8 + size], rng)
    for kind in ("F32", "I64", "BF16"):
        if rng.random() < 0.1:
            new = rng.choice(["F64", "F8_E8M0", "F4", "BOOL", "C64", "U16", "X"])
            header = header.replace(kind.encode(), new.encode(), 1)
    return len(header).to_bytes(8, "little") + header + content[8 + size :]


_COLUMNS: list[Callable[[int], pa.Array]] = [
    lambda n: pa.nulls(n),
    lambda n: pa.array([None] * n, pa.int64()),
    lambda n: pa.array([2**63] * n, pa.uint64()),
    lambda n: pa.array([-1] * n, pa.int8()),
    lambda n: pa.array([True] * n),
    lambda n: pa.array([float("nan")] * n),
    lambda n: pa.array(["é"] * n),
    lambda n: pa.array([b"\xff"] * n, pa.binary()).dictionary_encode(),
    lambda n: pa.array([b"\xff"] * n, pa.binary(1)),
    lambda n: pa.array([b""] * n, pa.large_binary()),
    lambda n: pa.array([2**62] * n, pa.timestamp("s")),
    lambda n: pa.array([2**62] * n, pa.timestamp("us", tz="Nowhere/City")),
    lambda n: pa.array([{"bytes": None}] * n, pa.struct({"bytes": pa.binary()})),
    lambda n: pa.array([{"bytes": "x"}] * n),
    lambda n: pa.array([[1]] * n),
    lambda n: pa.array([[("a", 1)]] * n, pa.map_(pa.string(), pa.int8())),
]

_METADATA = [
    *({"classes": "a"}, {"classes": b"\xff"}, {"classes": ",,,"}, {"huggingface": b"[" * 20_000}),
    *({"huggingface": json.dumps({"info": {"features": {"label": {"names": names}}}})}
      for names in (None, 3, "ab", [1, None], {"a": 1}, [[]], [])),
]  # fmt: skip


def _parquet_changed(content: bytes, rng: Random) -> bytes:
    table = pq.read_table(io.BytesIO(content))
    place = rng.randrange(table.num_columns)
    column = rng.choice(_COLUMNS)(table.num_rows)
    match rng.choice(["type", "drop", "name", "add", "twice", "rows", "metadata"]):
        case "type":
            table = table.set_column(place, table.column_names[place], column)
        case "drop":
            table = table.remove_column(place)
        case "name":
            names = [*table.column_names]
            names[place] = rng.choice(["", "x", names[place].upper(), "label", "epoch"])
            table = table.rename_columns(names)
        case "add":
            table = table.append_column(rng.choice(["", "x", "epoch"]), column)
        case "twice":
            table = table.append_column(table.column_names[place], table.column(place))
        case "rows":
            table = table.slice(0, rng.randint(0, table.num_rows))
        case _:
            table = table.replace_schema_metadata(rng.choice(_METADATA))
    sink = io.BytesIO()
    pq.write_table(table, sink, compression=rng.choice(["snappy", "zstd", "none"]))
    return sink.getvalue()


_CHANGES: dict[Form, Callable[[bytes, Random], bytes]] = {
    "json": _json_changed,
    "yaml": _yaml_changed,
    "safetensors": _safetensors_changed,
    "parquet": _parquet_changed,
}
