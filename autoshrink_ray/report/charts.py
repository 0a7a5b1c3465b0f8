"""Charts as SVG for an HTML page: its style sheet gives the colours, by class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from autoshrink_ray.report.axes import Axis
from autoshrink_ray.report.frame import HEIGHT, WIDTH, Frame
from autoshrink_ray.report.markup import tag

COLOURS = 8
"""Colours of lines, classes `c0` to `c7`; later lines use them again with other dashes."""

_TIP_HEIGHT, _TIP_LETTER = 24.0, 6.9


@dataclass(frozen=True)
class Dot:
    """A point of a chart.

    Attributes:
        x: Value to the right.
        y: Value upwards.
        tip: What it is, for a pointer, the keyboard and readers of the page's text.
        mark: Whether it stands out.
    """

    x: float
    y: float
    tip: str
    mark: bool = False


@dataclass(frozen=True)
class Line:
    """A line through points.

    Attributes:
        name: What the legend calls it.
        dots: Its points from left to right.
        steps: Whether it is level between them.
        place: Its number among the lines, which gives its colour and dashes.
        strong: Whether it stands out.
    """

    name: str
    dots: tuple[Dot, ...]
    steps: bool = False
    place: int = 0
    strong: bool = False

    @property
    def look(self) -> str:
        """Its classes."""
        strong = " strong" if self.strong else ""
        return f"c{self.place % COLOURS} d{self.place // COLOURS % 4}{strong}"


def score_chart(
    name: str, lines: Sequence[Line], rivals: Sequence[Dot] = (), *, across: str = "round"
) -> str:
    """Scores, one line a search or run.

    Args:
        name: What the chart shows, for those who cannot see it.
        lines: At least one point in all.
        rivals: Points of candidates that did not win.
        across: What x counts.
    """
    dots = [*rivals, *(dot for line in lines for dot in line.dots)]
    last = max(dot.x for dot in dots)
    room = max(0.4, last / 60)
    frame = Frame(Axis(1 - room, last + room), Axis.of(dot.y for dot in dots))
    parts = [
        frame.drawn((across, "score"), whole=True),
        *(_dot(frame, dot, 2.5, "rival") for dot in rivals),
        *(part for line in lines for part in _line(frame, line)),
    ]
    return _chart(name, parts, role="img")


def front_chart(name: str, lines: Sequence[Line], *, upwards: str) -> str:
    """Pareto fronts of several runs.

    Args:
        name: What the chart shows, for those who cannot see it.
        lines: At least one point in all.
        upwards: The quality metric.
    """
    dots = [dot for line in lines for dot in line.dots]
    frame = Frame(Axis.of_counts(dot.x for dot in dots), Axis.of(dot.y for dot in dots))
    parts = [
        frame.drawn(("MACs", upwards), whole=False),
        *(part for line in lines for part in _line(frame, line)),
    ]
    return _chart(name, parts, role="img")


def scatter(name: str, dots: Sequence[Dot], *, upwards: str) -> str:
    """Quality against MACs; marked points are joined, and can be reached by keyboard.

    Args:
        name: What the chart shows, for those who cannot see it.
        dots: At least one.
        upwards: The quality metric.
    """
    frame = Frame(Axis.of_counts(dot.x for dot in dots), Axis.of(dot.y for dot in dots))
    front = sorted((dot for dot in dots if dot.mark), key=lambda dot: (dot.x, dot.y))
    tips = [_tip(frame, dot) for dot in front]
    parts = [
        frame.drawn(("MACs", upwards), whole=False),
        *(_dot(frame, dot, 3.5, "rival") for dot in dots if not dot.mark),
        _path(frame, Line("", tuple(front), steps=True), "front"),
        *(_focusable(frame, dot, tip) for dot, tip in zip(front, tips, strict=True)),
    ]
    return _chart(name, parts, role="group")


def _chart(name: str, parts: Sequence[str], *, role: str) -> str:
    return tag(
        "svg",
        *parts,
        class_="chart",
        role=role,
        aria_label=name,
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        width=WIDTH,
        height=HEIGHT,
    )


def _line(frame: Frame, line: Line) -> Iterator[str]:
    yield _path(frame, line, f"line {line.look}")
    for dot in line.dots:
        if dot.tip:
            marked = " best" if dot.mark else ""
            yield _dot(frame, dot, 6.0 if dot.mark else 3.5, f"dot {line.look}{marked}")


def _path(frame: Frame, line: Line, kind: str) -> str:
    places = [frame.at(dot.x, dot.y) for dot in line.dots]
    steps = []
    for place, (x, y) in enumerate(places):
        if not place:
            steps.append(f"M{x:.1f},{y:.1f}")
        else:
            steps.append(f"H{x:.1f}V{y:.1f}" if line.steps else f"L{x:.1f},{y:.1f}")
    return tag("path", d="".join(steps), class_=kind)


def _dot(frame: Frame, dot: Dot, radius: float, kind: str) -> str:
    x, y = frame.at(dot.x, dot.y)
    title = tag("title", text=dot.tip) if dot.tip else ""
    return tag("circle", title, cx=x, cy=y, r=radius, class_=kind)


def _focusable(frame: Frame, dot: Dot, tip: str) -> str:
    bare = replace(dot, tip="")
    circle = _dot(frame, bare, 5.5, "member")
    return tag("g", circle, tip, class_="point", tabindex=0, role="img", aria_label=dot.tip)


def _tip(frame: Frame, dot: Dot) -> str:
    """A label beside a point that shows while a pointer or the keyboard is on it."""
    x, y = frame.at(dot.x, dot.y)
    width = len(dot.tip) * _TIP_LETTER + 16
    left = min(max(x - width / 2, 2.0), WIDTH - width - 2)
    top = y - _TIP_HEIGHT - 10 if y > _TIP_HEIGHT + 14 else y + 12
    box = tag("rect", x=left, y=top, width=width, height=_TIP_HEIGHT, rx=5)
    middle = left + width / 2
    text = tag("text", text=dot.tip, x=middle, y=top + 16, text_anchor="middle")
    return tag("g", box, text, class_="tip", aria_hidden="true")


def strip(name: str, scores: Sequence[float], low: float, high: float) -> str:
    """A round's scores on one line, the winner's marked.

    Args:
        name: What it shows, for those who cannot see it.
        scores: Best first, at least one.
        low: Lowest score of all rounds.
        high: Highest score of all rounds.
    """
    axis = Axis.of((low, high))
    marks = [
        tag("circle", cx=120 * axis.part(score), cy=9.0, r=2.5, class_="rival")
        for score in reversed(scores[1:])
    ]
    winner = tag("circle", cx=120 * axis.part(scores[0]), cy=9.0, r=4.0, class_="winner")
    base = tag("line", x1=0, x2=120, y1=9, y2=9)
    return tag(
        "svg",
        base,
        *marks,
        winner,
        class_="strip",
        role="img",
        aria_label=name,
        viewBox="0 0 120 18",
        width=120,
        height=18,
    )
