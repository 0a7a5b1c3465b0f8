"""Reports in a browser: as they look, on screen and on paper, to the eye and to the keyboard."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from autoshrink_ray import Run, SearchConfig, run_search
from autoshrink_ray.report import Command, comparison, report
from tests.browser.pages import chromium, missing
from tests.core.runs import killed

pytestmark = pytest.mark.browser

PAGES = ("one", "two", "chance", "killed", "both")
WIDTHS = (1280, 400)

TABLE = {
    "space": "table",
    "plugins": ["tests.plugins.table"],
    "nodes": 7,
    "executor": "in-process",
}

CONTRAST = """
const light = c => { const v = c.map(x => x / 255).map(
    x => x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
    return 0.2126 * v[0] + 0.7152 * v[1] + 0.0722 * v[2]; };
const parts = text => (text.match(/[\\d.]+/g) || []).map(Number);
const solid = text => text.startsWith('rgb') && (parts(text)[3] ?? 1) === 1;
const behind = (e, x, y) => {
    for (const f of document.elementsFromPoint(x, y)) {
        const style = getComputedStyle(f);
        if (f instanceof SVGRectElement && solid(style.fill)) return style.fill;
        if (f instanceof HTMLElement && solid(style.backgroundColor)) return style.backgroundColor;
    }
    return 'rgb(255, 255, 255)';
};
document.querySelectorAll('details').forEach(d => { d.open = true; });
const found = [];
for (const e of document.querySelectorAll('body *')) {
    const own = [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim());
    const style = getComputedStyle(e);
    if (!own || style.visibility === 'hidden' || e.closest('title, desc, .skip')) continue;
    e.scrollIntoView({block: 'center', inline: 'center'});
    const box = e.getClientRects()[0];
    if (!box) continue;
    const text = parts(e instanceof SVGElement ? style.fill : style.color).slice(0, 3);
    const paper = parts(behind(e, box.x + box.width / 2, box.y + box.height / 2)).slice(0, 3);
    const [a, b] = [light(text), light(paper)].sort((m, n) => n - m);
    found.push([(a + 0.05) / (b + 0.05), e.textContent.trim().slice(0, 60), text, paper]);
}
return found;
"""

OVERFLOWING = """
const allowed = e => e.closest('.scroll, svg, .skip');
return [...document.querySelectorAll('body *')]
    .filter(e => !allowed(e) && e.getBoundingClientRect().right > innerWidth + 0.5)
    .map(e => `${e.tagName} ${e.className}: ${e.textContent.trim().slice(0, 40)}`);
"""


@pytest.fixture(scope="module")
def folder(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a report of each kind, the first of a real search."""
    place = tmp_path_factory.mktemp("reports")
    table = TABLE | {"storage": str(place)}
    two = run_search(SearchConfig.of(table | {"name": "two", "searches": 2, "candidates": 5}))
    chance = SearchConfig.of(table | {"name": "chance", "algorithm": "random", "budget": 20})
    run_search(chance)
    killed(SearchConfig.of(table | {"name": "killed", "candidates": 5}), 12)
    pages = {
        "one": report(run, [Command("The cell as a file", f"autoshrink-ray best {'x' * 90}")]),
        "two": report(two),
        "both": comparison([two, Run("chance", str(place)), run]),
    }
    eight = table | {"name": "eight", "nodes": 8, "candidates": 28}
    eight |= {"seed": 3, "keep_fraction": 0.01}
    pages["eight"] = report(run_search(SearchConfig.of(eight)))
    pages |= {name: report(Run(name, str(place))) for name in ("chance", "killed")}
    for name, text in pages.items():
        (place / f"{name}.html").write_text(text, encoding="utf-8")
    return place


@pytest.fixture(scope="module")
def driver() -> Iterator[webdriver.Chrome]:
    if reason := missing():
        pytest.skip(reason)
    with chromium() as started:
        yield started


def show(
    driver: webdriver.Chrome, path: Path, *, width: int = 1280, dark: bool = False, medium: str = ""
) -> None:
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    media = {"media": medium, "features": [scheme]}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    driver.get(path.as_uri())


def ask(driver: webdriver.Chrome, script: str) -> Any:
    return driver.execute_script(script)


@pytest.mark.parametrize("name", PAGES)
def test_it_loads_nothing_and_the_console_is_silent(
    driver: webdriver.Chrome, folder: Path, name: str
) -> None:
    driver.get_log("browser")
    show(driver, folder / f"{name}.html")
    assert ask(driver, "return performance.getEntriesByType('resource').map(e => e.name)") == []
    assert driver.get_log("browser") == []


def test_the_policy_lets_nothing_be_loaded(driver: webdriver.Chrome, folder: Path) -> None:
    """The check above can fail: an image that is put in is refused, and the console says so."""
    show(driver, folder / "one.html")
    script = "const i = new Image(); i.src = 'http://127.0.0.1:9/x.png'; document.body.append(i);"
    ask(driver, script)
    messages = [entry["message"] for entry in driver.get_log("browser")]
    assert any("Content Security Policy" in message for message in messages)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_text_stands_out_from_what_is_behind_it(
    driver: webdriver.Chrome, folder: Path, name: str, dark: bool
) -> None:
    show(driver, folder / f"{name}.html", dark=dark)
    found = ask(driver, CONTRAST)
    assert len(found) > 50
    paper = ask(driver, "return getComputedStyle(document.body).backgroundColor")
    assert (max(map(int, paper[4:-1].split(","))) < 64) == dark
    assert [line for line in found if line[0] < 4.5] == []


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", PAGES)
def test_nothing_overflows(driver: webdriver.Chrome, folder: Path, name: str, width: int) -> None:
    show(driver, folder / f"{name}.html", width=width)
    ask(driver, "document.querySelectorAll('details').forEach(d => { d.open = true; });")
    assert ask(driver, OVERFLOWING) == []
    assert ask(driver, "return document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("name", PAGES)
def test_what_scrolls_can_be_scrolled_by_keyboard(
    driver: webdriver.Chrome, folder: Path, name: str
) -> None:
    show(driver, folder / f"{name}.html", width=400)
    script = """return [...document.querySelectorAll('*')]
        .filter(e => e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).overflowX === 'auto')
        .filter(e => e.tabIndex !== 0 || !e.ariaLabel || e.role !== 'region')
        .map(e => e.outerHTML)"""
    assert ask(driver, script) == []


@pytest.mark.parametrize("name", PAGES)
def test_it_fits_on_paper(driver: webdriver.Chrome, folder: Path, name: str) -> None:
    show(driver, folder / f"{name}.html", width=688, medium="print", dark=True)
    assert ask(driver, OVERFLOWING.replace(".scroll, ", "")) == []
    colours = "const s = getComputedStyle(document.body); return [s.backgroundColor, s.color];"
    assert ask(driver, colours) == ["rgb(255, 255, 255)", "rgb(0, 0, 0)"]
    assert not ask(driver, "return [...document.querySelectorAll('nav')].some(e => e.offsetHeight)")
    printed = driver.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})
    pdf = base64.b64decode(printed["data"])
    assert pdf.startswith(b"%PDF-")
    assert 1 <= pdf.count(b"/Type /Page\n") <= 20


def test_a_point_of_the_front_tells_itself_to_pointer_and_keyboard(
    driver: webdriver.Chrome, folder: Path
) -> None:
    show(driver, folder / "one.html")
    tips = """return [...document.querySelectorAll('.point')]
        .map(e => getComputedStyle(e.querySelector('.tip')).visibility === 'visible')"""
    assert not any(ask(driver, tips))
    (first, *_) = driver.find_elements("css selector", ".point .member")
    ActionChains(driver).move_to_element(first).perform()
    assert ask(driver, tips)[0]
    ask(driver, "document.querySelector('.point').parentNode.closest('.scroll').focus()")
    ActionChains(driver).send_keys(Keys.TAB).perform()
    told = ask(driver, "return document.activeElement.getAttribute('aria-label')")
    assert told.startswith("accuracy ")
    shown = ask(driver, "return document.activeElement.querySelector('.tip text').textContent")
    assert shown == told
    assert sum(ask(driver, tips)) >= 1


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_tips_are_readable(driver: webdriver.Chrome, folder: Path, dark: bool) -> None:
    show(driver, folder / "one.html", dark=dark)
    script = """const tip = document.querySelector('.tip');
        return ['text', 'rect'].map(name => getComputedStyle(tip.querySelector(name)).fill)"""
    text, box = (sum(map(int, colour[4:-1].split(","))) for colour in ask(driver, script))
    assert (text > 700 and box < 120) or (text < 120 and box > 690)


FILLS = """
const cells = [...document.querySelectorAll('#edges figure .heat rect:not(.gone)')];
return [...new Set(cells.filter(e => e.querySelector('title')).map(e => e.className.baseVal))]
    .map(kind => [kind, getComputedStyle(document.querySelector('.heat .' + kind)).fill]);
"""


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_map_of_edges_is_the_stronger_the_farther_from_the_median(
    driver: webdriver.Chrome, folder: Path, dark: bool
) -> None:
    show(driver, folder / "eight.html", dark=dark)
    fills = {kind: sum(map(int, c[4:-1].split(","))) for kind, c in ask(driver, FILLS)}
    assert fills.keys() >= {"n1", "n2", "p0", "p1", "p2", "p3", "p4"}
    for side in "np":
        light = [fills[kind] for kind in sorted(fills) if kind[0] == side]
        assert light == sorted(light, reverse=not dark)
        assert len(set(light)) == len(light)
    scale = ask(driver, "return document.querySelectorAll('.heat-legend li')[0].innerText")
    assert re.fullmatch(r"-(0\.\d{4})\s*\+\1", scale)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_map_of_28_edges_is_readable_and_scrolls_where_it_has_to(
    driver: webdriver.Chrome, folder: Path, width: int
) -> None:
    show(driver, folder / "eight.html", width=width)
    ask(driver, "document.querySelectorAll('details').forEach(d => { d.open = true; });")
    assert ask(driver, OVERFLOWING) == []
    assert ask(driver, "return document.documentElement.scrollWidth") <= width
    sizes = """const map = document.querySelector('#edges svg.heat');
        const drawn = map.getBoundingClientRect().width / map.viewBox.baseVal.width;
        return [...map.querySelectorAll('text')].map(
            e => [e.textContent, drawn * parseFloat(getComputedStyle(e).fontSize)])"""
    found = ask(driver, sizes)
    assert len([name for name, _ in found if "-" in name]) == 28
    assert len(found) - 28 - 2 >= 22, "a label for each round"
    assert min(size for _, size in found) >= 12
    room = "return document.querySelector('#edges .scroll')"
    scrolls = ask(driver, f"{room}.scrollWidth > {room.removeprefix('return ')}.clientWidth")
    assert scrolls == (width == 400)


def test_a_cell_of_the_map_tells_its_worth_to_a_pointer(
    driver: webdriver.Chrome, folder: Path
) -> None:
    show(driver, folder / "eight.html")
    told = ask(
        driver,
        """document.querySelector('#edges').scrollIntoView({block: 'start'});
        const box = document.querySelector('#edges .cross').getBoundingClientRect();
        const seen = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
        return seen.querySelector('title').textContent""",
    )
    assert told.startswith("Round ")
    assert told.endswith("from the median, removed")


def test_a_keyboard_opens_a_round(driver: webdriver.Chrome, folder: Path) -> None:
    show(driver, folder / "one.html")
    ask(driver, "document.querySelector('.candidates summary').focus()")
    ActionChains(driver).send_keys(Keys.ENTER).perform()
    assert ask(driver, "return document.querySelector('.candidates table').offsetHeight > 0")
