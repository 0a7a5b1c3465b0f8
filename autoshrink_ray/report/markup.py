"""Elements of SVG, all text in them escaped."""

from __future__ import annotations

from autoshrink_ray.drawing.svg import quoted


def tag(name: str, *children: str, text: str = "", **attributes: object) -> str:
    """An element.

    Args:
        name: What it is called.
        children: Elements in it.
        text: Text in it, before the elements.
        attributes: Its attributes; a trailing underscore is dropped, others become dashes, and
            numbers are rounded to hundredths.
    """
    words = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_value(value)}"'
        for key, value in attributes.items()
    )
    inside = quoted(text) + "".join(children)
    return f"<{name}{words}>{inside}</{name}>" if inside else f"<{name}{words}/>"


def _value(value: object) -> str:
    if isinstance(value, float):
        return f"{round(value, 2):g}" if abs(value) < 1e4 else f"{value:.1f}"
    return quoted(str(value))
