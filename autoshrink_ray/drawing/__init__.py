"""Pictures of cells, the same as SVG and as PNG."""

from autoshrink_ray.drawing.cell import cell_picture
from autoshrink_ray.drawing.picture import Picture

__all__ = ["Picture", "cell_picture"]
