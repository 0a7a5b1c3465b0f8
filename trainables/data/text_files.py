"""Text in three files, as the Penn Treebank's language-modelling data is."""

from __future__ import annotations

import io

from autoshrink_ray.contracts import DataRequest
from autoshrink_ray.errors import DataError
from autoshrink_ray.storage import Folder, join
from trainables.data.options import folder
from trainables.data.sets import TextSet
from trainables.data.tokens import text_set

_CONTENT = "train.txt, valid.txt and test.txt"


def text(request: DataRequest) -> TextSet:
    """Reads `text:DIR`: DIR/train.txt, DIR/valid.txt and DIR/test.txt, DIR a path or a URI.

    Words are separated by white space; a line's words are followed by `<eos>`. The vocabulary is
    in order of first appearance over train, valid, test.

    Raises:
        DataError: If a file is missing, has no words or is no UTF-8, or the word vectors asked
            for cannot be read.
    """
    source = folder(request, _CONTENT)
    train, valid, test = (_lines(source, f"{split}.txt") for split in ("train", "valid", "test"))
    return text_set(train, valid, test, request)


def _lines(source: Folder, name: str) -> list[list[str]]:
    if not source.exists(name):
        raise DataError(f"{source.location} holds {_CONTENT}; {name} is missing")
    place, content = join(source.location, name), source.read(name)
    try:
        decoded = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(f"{place}, line {line}: text is UTF-8, got {error.reason}") from error
    lines = [line.split() for line in io.StringIO(decoded, newline=None)]
    if not any(lines):
        raise DataError(f"{place} has no words")
    return lines
