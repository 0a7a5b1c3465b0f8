"""Takes the pictures in docs/images, of TensorBoard and of a report, from a small real search."""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from selenium.webdriver.remote.webdriver import WebDriver

from autoshrink_ray import SearchConfig, run_search
from tests.browser.pages import Page, chromium, missing, served

PLACE = Path(__file__).parents[2] / "docs" / "images"

SEARCHES = "search(-%5Cd%2B)%3F$"
"""The command's link selects these streams where there are many."""

SHOTS = {
    "custom-scalars": (
        "custom_scalars",
        "vz-line-chart2 >>> path.line",
        "Ignore outliers in chart scaling",
    ),
    "images": ("images", "tf-image-loader >>> img", "Show actual image size"),
    "hparams": ("hparams", "vaadin-grid >>> td", ""),
    "parallel-coordinates": (
        "hparams",
        "tf-hparams-parallel-coords-plot >>> .foreground path",
        "PARALLEL COORDINATES VIEW",
    ),
}
"""Page of each picture, what it waits for, and the words that are clicked; they stay clicked."""


def take(page: Page, name: str) -> None:
    """Writes one picture.

    Args:
        page: TensorBoard.
        name: The picture's name.
    """
    tab, selector, words = SHOTS[name]
    page.open(tab, regexInput=SEARCHES, _smoothingWeight="0")
    if words:
        places = "paper-tab, paper-checkbox"
        page.wait(lambda: words in page.texts(places), words)
        page.click(places, words)
    page.wait(lambda: page.look(selector, "1"), name)
    page.settle()
    save(page.driver, f"tensorboard-{name}")


def take_report(driver: WebDriver, run: Path, place: Path) -> None:
    """Writes the picture of how a report shows the shrinking.

    Args:
        driver: The browser.
        run: The run's folder.
        place: Folder for the report.
    """
    report = place / "report.html"
    command = [sys.executable, "-c", "from launch.cli import main; main()"]
    subprocess.run([*command, "report", str(run), "-o", str(report)], check=True)
    driver.get(f"{report.as_uri()}#shrinking")
    save(driver, "report")


def save(driver: WebDriver, name: str) -> None:
    """Writes what the browser shows."""
    picture = Image.open(io.BytesIO(driver.get_screenshot_as_png())).convert("RGB")
    picture.quantize(128).save(PLACE / f"{name}.png", optimize=True)


def main() -> None:
    """Runs the demo's search of image cells, or looks at one that is there."""
    parser = argparse.ArgumentParser(prog="scripts/shots", description=__doc__)
    parser.add_argument("--run", type=Path, help="folder of a run that is there already")
    given = parser.parse_args()
    if missing():
        parser.error(missing())
    PLACE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as storage:
        folder = given.run or Path(storage, "first")
        if given.run is None:
            config = SearchConfig.from_preset("demo", executor="in-process")
            run_search(config, storage=storage, name="first")
        with served(folder.parent, folder.name) as url, chromium() as driver:
            for name in SHOTS:
                take(Page(driver, url), name)
            take_report(driver, folder, Path(storage))


if __name__ == "__main__":
    main()
