"""Word vectors in GloVe's text format."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from autoshrink_ray.errors import DataError
from autoshrink_ray.storage import resolve

_LARGEST = float(np.finfo(np.float32).max)


def read_word_vectors(
    location: str, vocabulary: Sequence[str]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Reads the vectors of the words in `vocabulary`.

    Args:
        location: Path or URI of a file with a word and D numbers a line, separated by spaces;
            compressed if its name ends in, say, `.gz`.
        vocabulary: V words.

    Returns:
        Vectors float32 (V, D), rows without a vector 0; and which rows have one, bool (V,).

    Raises:
        DataError: If the file is missing, a line has another number of columns than the first
            or something else than finite numbers, or no word is in the vocabulary.
    """
    rows = {word.encode(): row for row, word in enumerate(vocabulary)}
    found: dict[int, npt.NDArray[np.float64]] = {}
    columns = 0
    for number, line in enumerate(_lines(location), start=1):
        entries = line.split()
        columns = columns or len(entries)
        if len(entries) != columns or columns < 2:
            raise DataError(
                f"{location}, line {number}: a word and {max(columns - 1, 1)} numbers, "
                f"got {len(entries)} columns"
            )
        if entries[0] in rows:
            found[rows[entries[0]]] = _vector(entries[1:], f"{location}, line {number}")
    if not found:
        raise DataError(f"{location}: at least one word is in the vocabulary, got none")
    vectors = np.zeros((len(vocabulary), columns - 1), np.float32)
    given = np.zeros(len(vocabulary), np.bool_)
    for row, vector in found.items():
        vectors[row], given[row] = vector, True
    return vectors, given


def _lines(location: str) -> Iterator[bytes]:
    filesystem, path = resolve(location)
    try:
        with io.BufferedReader(filesystem.open_input_stream(path)) as stream:
            yield from stream
    except OSError as error:
        raise DataError(f"cannot read the word vectors {location}: {error}") from error


def _vector(entries: list[bytes], place: str) -> npt.NDArray[np.float64]:
    try:
        vector = np.array([float(entry) for entry in entries])
    except ValueError as error:
        raise DataError(f"{place}: a word vector is made of numbers: {error}") from error
    if not (np.abs(vector) <= _LARGEST).all():
        raise DataError(f"{place}: a word vector is made of finite numbers, got {vector.tolist()}")
    return vector
