"""A picture: shapes on paper, as SVG or PNG."""

from __future__ import annotations

from dataclasses import dataclass

from autoshrink_ray.drawing.png import to_png
from autoshrink_ray.drawing.scene import Shape
from autoshrink_ray.drawing.svg import to_svg


@dataclass(frozen=True)
class Picture:
    """A picture, the same in every format.

    Attributes:
        width: Width in pixels.
        height: Height in pixels.
        title: What it is called.
        description: The picture in words, for those who cannot see it.
        shapes: What is drawn, from back to front, the paper first.
    """

    width: int
    height: int
    title: str
    description: str
    shapes: tuple[Shape, ...]

    def svg(self) -> str:
        """A complete SVG document, which can also stand inside an HTML page."""
        return to_svg(self.width, self.height, self.title, self.description, self.shapes)

    def png(self, scale: float = 2.0) -> bytes:
        """Content of a PNG file.

        Args:
            scale: Pixels of the image per pixel of the picture.

        Raises:
            ConfigError: If the scale is not above 0, or gives more than 100 million pixels.
        """
        return to_png(self.width, self.height, self.shapes, scale)
