"""Reading a report as a strict reader would."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from itertools import pairwise

_EMPTY = {"meta", "link", "br", "img", "hr"}


@dataclass
class Element:
    """An element with what is in it, texts and elements in order."""

    name: str
    attributes: dict[str, str]
    inside: list[Element | str] = field(default_factory=list)

    @property
    def text(self) -> str:
        parts = (part if isinstance(part, str) else part.text for part in self.inside)
        return " ".join("".join(parts).split())

    def all(self, *names: str) -> list[Element]:
        """Elements of these names in it, at any depth; all of them without a name."""
        return [found for found in self._walk() if not names or found.name in names]

    def _walk(self) -> Iterator[Element]:
        for part in self.inside:
            if isinstance(part, Element):
                yield part
                yield from part._walk()

    def part(self, identifier: str) -> Element:
        (found,) = (e for e in self.all() if e.attributes.get("id") == identifier)
        return found

    def rows(self) -> list[list[str]]:
        """Cells of the table rows in it."""
        return [[cell.text for cell in row.all("th", "td")] for row in self.all("tr")]


class _Reader(HTMLParser):
    """Refuses elements that are not closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open = [Element("document", {})]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"an attribute of {tag} is there twice: {attrs}"
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].inside.append(element)
        if tag not in _EMPTY:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _EMPTY:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        last = self.open.pop()
        assert last.name == tag, f"<{last.name}> {last.attributes} is closed by </{tag}>"

    def handle_data(self, data: str) -> None:
        self.open[-1].inside.append(data)


def read(html: str) -> Element:
    """The page, which has to be well-formed."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    assert [element.name for element in reader.open] == ["document"]
    return reader.open[0]


def check_accessible(page: Element) -> None:
    """What can be seen without a browser."""
    (root,) = page.all("html")
    assert root.attributes["lang"] == "en"
    for svg in page.all("svg"):
        known = svg.attributes
        titled = any(e.name == "title" and e.text for e in svg.inside if isinstance(e, Element))
        named = bool(known.get("aria-label")) or titled
        assert known.get("aria-hidden") == "true" or (known.get("role") and named), known
    levels = [int(heading.name[1]) for heading in page.all("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert all(cell.attributes.get("scope") in {"row", "col"} for cell in page.all("th"))
    assert len([e for e in page.all("title") if e.text]) >= 1


def check_alone(page: Element) -> None:
    """It loads nothing, runs nothing, and its links lead somewhere."""
    assert not page.all("script", "iframe", "object", "embed", "img", "form")
    policies = [e.attributes.get("content", "") for e in page.all("meta")]
    assert any(policy.startswith("default-src 'none'") for policy in policies)
    for element in page.all():
        assert not any(name.startswith("on") for name in element.attributes), element
        assert not {"src", "style", "xlink:href"} & element.attributes.keys(), element
    assert [e.attributes["href"] for e in page.all("link")] == ["data:,"]
    identifiers = [e.attributes["id"] for e in page.all() if "id" in e.attributes]
    assert len(identifiers) == len(set(identifiers))
    for link in page.all("a"):
        target = link.attributes["href"]
        assert not target.startswith(("http", "javascript", "//"))
        assert not target.startswith("#") or target[1:] in identifiers
    (style,) = page.all("style")
    assert "url(" not in style.text
    assert "@import" not in style.text
