from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autoshrink_ray import plugins
from autoshrink_ray.contracts import DataRequest
from autoshrink_ray.errors import DataError, StorageError
from tests.trainables.data.files import request
from trainables import data
from trainables.data.options import DEFAULT_DATA_DIR, data_dir

BY_NAME = ["digits", "cifar10", "fashion-mnist", "pydoc"]
BY_FOLDER = ["parquet", "imagefolder", "text"]


@pytest.mark.parametrize("name", [*BY_NAME, *BY_FOLDER])
def test_every_built_in_name_leads_to_its_function(name: str) -> None:
    assert plugins.dataset(name) is getattr(data, name.replace("-", "_"))


@pytest.mark.parametrize("name", BY_NAME)
@pytest.mark.parametrize("argument", [":foo", ":"])
def test_an_argument_where_none_belongs_is_refused(name: str, argument: str) -> None:
    with pytest.raises(DataError, match=rf"{name} takes no argument: write {name}, got '{name}:"):
        plugins.dataset(name)(request(name + argument))


@pytest.mark.parametrize("name", BY_FOLDER)
@pytest.mark.parametrize("spec", ["{}", "{}:"])
def test_a_missing_folder_argument_is_refused_with_the_form(name: str, spec: str) -> None:
    with pytest.raises(DataError, match=rf"needs a folder: write {name}:DIR, .* train"):
        plugins.dataset(name)(request(spec.format(name)))


@pytest.mark.parametrize("name", BY_FOLDER)
def test_a_folder_that_is_not_there_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"there is no folder {tmp_path}/nowhere"):
        plugins.dataset(name)(request(f"{name}:{tmp_path}/nowhere"))


@pytest.mark.parametrize("name", BY_FOLDER)
def test_an_unknown_uri_scheme_is_refused(name: str) -> None:
    with pytest.raises(StorageError, match="got 'gopher://host/folder'"):
        plugins.dataset(name)(request(f"{name}:gopher://host/folder"))


@pytest.mark.parametrize("key", ["train_per_class", "valid_per_class", "image_size"])
@pytest.mark.parametrize("value", [0, -1, 1.5, "10", True])
def test_counts_are_whole_and_positive(key: str, value: Any) -> None:
    with pytest.raises(DataError, match=rf"{key} is a whole number of at least 1"):
        data.digits(DataRequest("digits", {key: value}))


def test_the_seed_is_a_whole_number() -> None:
    with pytest.raises(DataError, match="seed is a whole number, got 'abc'"):
        data.digits(request("digits", seed="abc"))


@pytest.mark.parametrize("value", [-0.1, 1, float("nan"), "much"])
def test_a_fraction_of_bad_images_is_below_1(value: object) -> None:
    with pytest.raises(DataError, match="max_bad_fraction is a number from 0 to below 1, got"):
        data.digits(request("digits", max_bad_fraction=value))


def test_options_of_none_are_the_defaults() -> None:
    names = ("train_per_class", "valid_per_class", "seed", "image_size", "max_bad_fraction")
    options = dict.fromkeys(names)
    with_none = data.digits(DataRequest("digits", options))
    assert with_none.fingerprint == data.digits(request("digits")).fingerprint


def test_data_dir_is_a_local_folder() -> None:
    assert data_dir(request("cifar10")) == Path(DEFAULT_DATA_DIR).expanduser()
    assert data_dir(request("cifar10", data_dir="~/x")) == Path.home() / "x"
    for wrong in ("s3://bucket/folder", 5):
        with pytest.raises(DataError, match="data_dir is a local folder"):
            data_dir(request("cifar10", data_dir=wrong))


@pytest.mark.parametrize("load", [data.digits, data.pydoc])
def test_two_loads_give_the_same(load: Callable[[DataRequest], data.ImageSet]) -> None:
    spec = request(load.__name__, seed=3, train_per_class=20)
    assert load(spec).fingerprint == load(spec).fingerprint
