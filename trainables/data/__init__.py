"""Data sets: functions from a `DataRequest` to an `ImageSet` or a `TextSet`.

All of them read these options of the request, where they apply; each may be left out or None:

- `train_per_class`, `valid_per_class`: images of each class to keep; None keeps all.
- `seed`: draws that subset (default 0).
- `image_size`: height and width to bring images to; None keeps their own, which are then equal.
- `max_bad_fraction`: part of a split's images that may be impossible to decode (default 0); they
  are left out and named.
- `data_dir`: folder of downloaded sets (default `~/.cache/autoshrink_ray/data`).
- `word_vectors`: path or URI of word vectors in GloVe's text format.

Nothing that is read can execute code.
"""

from trainables.data.downloads import cifar10, fashion_mnist
from trainables.data.embedded import digits, pydoc
from trainables.data.image_folders import imagefolder
from trainables.data.parquet_tables import parquet
from trainables.data.sets import ImageSet, TextSet
from trainables.data.text_files import text

__all__ = [
    "ImageSet",
    "TextSet",
    "cifar10",
    "digits",
    "fashion_mnist",
    "imagefolder",
    "parquet",
    "pydoc",
    "text",
]
