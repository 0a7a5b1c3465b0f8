"""Templates to HTML; whatever a run says is escaped."""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from autoshrink_ray import wording
from autoshrink_ray.report import numbers


def page(template: str, **values: Any) -> str:
    """A page.

    Args:
        template: Its template.
        values: What the template shows.
    """
    return _environment().get_template(template).render(**values)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("autoshrink_ray.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"plural": wording.plural, "count": numbers.count}
    return environment
