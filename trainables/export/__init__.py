"""Export of trained networks: a file that was checked on real inputs, and a card beside it."""

from trainables.export.card import BATCH, Card, Parity, TensorInfo
from trainables.export.release import FORMATS, TOLERANCE, export, file_format

__all__ = ["BATCH", "FORMATS", "TOLERANCE", "Card", "Parity", "TensorInfo", "export", "file_format"]
