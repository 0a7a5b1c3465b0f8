from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from autoshrink_ray.errors import DataError
from autoshrink_ray.storage import Folder
from tests.trainables.data.files import Pixels, encoded, random_pixels, request, write_parquet
from trainables.data import ImageSet, parquet
from trainables.data.parquet_tables import open_table, read_group, read_groups

TRAIN, VALID = random_pixels(8, 4, 4, 3), random_pixels(4, 4, 4, 3, seed=1)
TRAIN_LABELS, VALID_LABELS = [0, 1, 2, 0, 1, 2, 0, 0], [2, 1, 0, 0]


def pngs(images: Pixels) -> list[Any]:
    return [encoded(image) for image in images]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_parquet(tmp_path / "train.parquet", pngs(TRAIN), TRAIN_LABELS)
    write_parquet(tmp_path / "valid.parquet", pngs(VALID), VALID_LABELS)
    return tmp_path


def load(folder: Path | str, **options: Any) -> ImageSet:
    return parquet(request(f"parquet:{folder}", **options))


def test_gives_back_what_was_written(folder: Path) -> None:
    data = load(folder)
    np.testing.assert_array_equal(data.train_images, TRAIN)
    np.testing.assert_array_equal(data.valid_images, VALID)
    assert data.train_labels.tolist() == TRAIN_LABELS
    assert data.valid_labels.tolist() == VALID_LABELS
    assert data.class_names == ("0", "1", "2")


def test_a_uri_gives_the_same_as_a_path(folder: Path) -> None:
    assert load(folder.as_uri()).fingerprint == load(folder).fingerprint


def test_the_structs_of_hugging_face_give_the_same_as_bytes(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "structs"
    other.mkdir()
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    for name, images, labels in (
        ("train", TRAIN, TRAIN_LABELS),
        ("valid", VALID, VALID_LABELS),
    ):
        cells = [{"bytes": content, "path": None} for content in pngs(images)]
        write_parquet(other / f"{name}.parquet", cells, labels, image_type=kind)
    assert load(other).fingerprint == load(folder).fingerprint


def test_the_chosen_rows_keep_their_labels(folder: Path) -> None:
    data = load(folder, train_per_class=2, valid_per_class=1)
    assert np.bincount(data.train_labels).tolist() == [2, 2, 2]
    assert np.bincount(data.valid_labels).tolist() == [1, 1, 1]
    label_of = {image.tobytes(): label for image, label in zip(TRAIN, TRAIN_LABELS, strict=True)}
    for image, label in zip(data.train_images, data.train_labels.tolist(), strict=True):
        assert label_of[image.tobytes()] == label


def test_rows_that_are_not_chosen_are_not_decoded(folder: Path) -> None:
    write_parquet(folder / "train.parquet", [*pngs(TRAIN[:3]), b"broken"], [0, 1, 2, 0])
    with pytest.raises(DataError, match="row 3 is not a readable image"):
        load(folder)
    chosen = [seed for seed in range(20) if _loads(folder, seed)]
    assert 0 < len(chosen) < 20


def _loads(folder: Path, seed: int) -> bool:
    try:
        load(folder, train_per_class=1, seed=seed)
    except DataError:
        return False
    return True


@pytest.mark.parametrize(
    "metadata",
    [
        {"classes": "ant, bee,cat,dog"},
        {
            "huggingface": json.dumps(
                {"info": {"features": {"label": {"names": ["ant", "bee", "cat", "dog"]}}}}
            )
        },
    ],
    ids=["classes", "huggingface"],
)
def test_metadata_names_the_classes(folder: Path, metadata: dict[str, str]) -> None:
    write_parquet(folder / "train.parquet", pngs(TRAIN), TRAIN_LABELS, metadata)
    assert load(folder).class_names == ("ant", "bee", "cat", "dog")


@pytest.mark.parametrize("text", ["no json", "[]", '{"info": {"features": {"label": {}}}}'])
def test_metadata_without_names_leaves_the_numbers(folder: Path, text: str) -> None:
    write_parquet(folder / "train.parquet", pngs(TRAIN), TRAIN_LABELS, {"huggingface": text})
    assert load(folder).class_names == ("0", "1", "2")


def test_labels_beyond_the_named_classes_are_refused(folder: Path) -> None:
    write_parquet(folder / "train.parquet", pngs(TRAIN), TRAIN_LABELS, {"classes": "ant,bee"})
    with pytest.raises(DataError, match=r"train\.parquet: .* 0\.\.1, got 2 at position 2"):
        load(folder)


def test_gray_and_colour_together_become_colour(folder: Path) -> None:
    gray = random_pixels(4, 4, 1)
    write_parquet(folder / "train.parquet", [encoded(gray), *pngs(TRAIN[1:])], TRAIN_LABELS)
    data = load(folder)
    assert data.shape.channels == 3
    np.testing.assert_array_equal(data.train_images[0], gray.repeat(3, axis=2))
    np.testing.assert_array_equal(data.train_images[1:], TRAIN[1:])


def test_gray_alone_stays_gray(folder: Path) -> None:
    write_parquet(folder / "train.parquet", pngs(TRAIN[..., :1]), TRAIN_LABELS)
    write_parquet(folder / "valid.parquet", pngs(VALID[..., :1]), VALID_LABELS)
    np.testing.assert_array_equal(load(folder).train_images, TRAIN[..., :1])


def test_different_sizes_need_an_image_size(folder: Path) -> None:
    odd = encoded(random_pixels(6, 5, 3))
    write_parquet(folder / "valid.parquet", [*pngs(VALID[1:]), odd], VALID_LABELS)
    with pytest.raises(
        DataError,
        match=r"got 6 x 5 in .*valid\.parquet, row 3 and 4 x 4 in .*train\.parquet, row 0; "
        "image_size",
    ):
        load(folder)
    assert load(folder, image_size=4).valid_images.shape == (4, 4, 4, 3)


@pytest.mark.parametrize(
    ("split", "labels", "message"),
    [
        ("train", [0, 1, 2, -1], r"train\.parquet: .* got -1 at position 3"),
        ("valid", [0, 1, 2, 3], r"valid\.parquet: a label is one of 0\.\.2, got 3 at position 3"),
        ("valid", [0, 1, 2, -5], r"valid\.parquet: .* got -5"),
        ("train", [0, 1, 2, 10**12], f"class number below 100000, got {10**12}"),
        ("train", np.array([0, 2**63] * 2, np.uint64), "train.parquet is not a readable"),
        ("train", [0, 1, 2, None], r"train\.parquet, row 3: the label is missing"),
        ("train", [0.0, 1.0, 2.0, 1.5], "column label holds integers, got double"),
        ("train", ["0", "1", "2", "1"], "column label holds integers, got string"),
    ],
)
def test_labels_that_are_no_classes_are_refused(
    folder: Path, split: str, labels: list[Any], message: str
) -> None:
    write_parquet(folder / f"{split}.parquet", pngs(VALID), labels)
    with pytest.raises(DataError, match=message):
        load(folder)


def test_a_missing_image_is_named(folder: Path) -> None:
    write_parquet(folder / "valid.parquet", [*pngs(VALID[:3]), None], VALID_LABELS)
    with pytest.raises(DataError, match=r"valid\.parquet, row 3: the image's bytes are missing"):
        load(folder)
    cells = [{"bytes": None, "path": "a.png"}] * 4
    write_parquet(
        folder / "valid.parquet",
        cells,
        VALID_LABELS,
        image_type=pa.struct({"bytes": pa.binary(), "path": pa.string()}),
    )
    with pytest.raises(DataError, match=r"valid\.parquet, row 0: the image's bytes are missing"):
        load(folder)


@pytest.mark.parametrize("structs", [False, True])
def test_a_scan_gives_the_rows_of_each_group(tmp_path: Path, structs: bool) -> None:
    images = pngs(TRAIN)
    images[4] = None
    cells = [image and {"bytes": image, "path": "x"} for image in images] if structs else images
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())]) if structs else pa.binary()
    write_parquet(tmp_path / "t.parquet", cells, TRAIN_LABELS, image_type=kind)
    source = Folder(str(tmp_path))
    with open_table(source, "t.parquet") as table:
        assert table.group_sizes() == [3, 3, 2]
        assert table.labels().tolist() == TRAIN_LABELS
        assert table.size == (tmp_path / "t.parquet").stat().st_size
    groups = [pa.concat_tables(read_group(source, "t.parquet", group)) for group in range(3)]
    assert groups[1].column("position").to_pylist() == [3, 4, 5]
    rows = pa.concat_tables(groups)
    assert rows.column("position").to_pylist() == list(range(8))
    assert rows.column("label").to_pylist() == TRAIN_LABELS
    assert rows.column("image").to_pylist() == images
    as_task = read_groups({"group": np.arange(3)}, str(tmp_path), "t.parquet")
    assert pa.concat_tables(as_task).equals(rows)


def test_images_have_to_be_encoded(folder: Path) -> None:
    kind = pa.list_(pa.int64())
    write_parquet(folder / "train.parquet", [[0, 1]] * 4, VALID_LABELS, image_type=kind)
    with pytest.raises(DataError, match=r"column image holds encoded images .* got list"):
        load(folder)


def test_missing_columns_are_listed_against_what_is_there(folder: Path) -> None:
    pq.write_table(pa.table({"img": [b""], "label": [0]}), folder / "train.parquet")
    with pytest.raises(DataError, match="one column label, got img, label"):
        load(folder)


def test_a_column_that_is_there_twice_is_refused(folder: Path) -> None:
    columns = [pa.array([b""]), pa.array([0]), pa.array([1])]
    table = pa.Table.from_arrays(columns, names=["image", "label", "label"])
    pq.write_table(table, folder / "train.parquet")
    with pytest.raises(DataError, match="one column label, got image, label, label"):
        load(folder)


def test_class_names_that_are_no_text_are_damage(folder: Path) -> None:
    table = pq.read_table(folder / "train.parquet")
    odd = table.replace_schema_metadata({"classes": b"i\xe9age,b,c"})
    pq.write_table(odd, folder / "train.parquet")
    with pytest.raises(DataError, match="is not a readable Parquet file"):
        load(folder)


@pytest.mark.parametrize("split", ["train", "valid"])
def test_a_missing_file_is_named(folder: Path, split: str) -> None:
    (folder / f"{split}.parquet").unlink()
    with pytest.raises(DataError, match=rf"{split}\.parquet is missing"):
        load(folder)


@pytest.mark.parametrize("split", ["train", "valid"])
def test_an_empty_table_is_refused(folder: Path, split: str) -> None:
    table = pq.read_table(folder / f"{split}.parquet")
    pq.write_table(table.slice(0, 0), folder / f"{split}.parquet")
    with pytest.raises(DataError, match=rf"{split}\.parquet has no images"):
        load(folder)


@pytest.mark.parametrize("damage", ["empty", "text", "truncated", "page"])
def test_a_broken_file_is_named(folder: Path, damage: str) -> None:
    path = folder / "valid.parquet"
    content = path.read_bytes()
    broken = {
        "empty": b"",
        "text": b"image,label\n",
        "truncated": content[: len(content) // 2],
        "page": content[:4] + b"\xff" * 200 + content[204:],
    }
    path.write_bytes(broken[damage])
    with pytest.raises(DataError, match=r"valid\.parquet is not a readable Parquet file"):
        load(folder)


def test_an_option_decides_the_draw(folder: Path) -> None:
    draws = {load(folder, train_per_class=1, seed=seed).fingerprint for seed in range(5)}
    assert len(draws) > 1
    assert load(folder, train_per_class=1).fingerprint in draws
