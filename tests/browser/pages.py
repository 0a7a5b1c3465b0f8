"""TensorBoard's pages in a headless Chromium. Its components hide in shadow roots."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.ui import WebDriverWait

PATIENCE = 60
"""Seconds that a page may take on a slow machine."""

_ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",  # root has no other way
    "--disable-dev-shm-usage",
    "--window-size=1280,943",  # leaves 800 to the page
    "--hide-scrollbars",
    "--no-first-run",
    "--disable-background-networking",
)

_FIND = """
const all = (root, selector) => [root, root.shadowRoot].filter(r => r).flatMap(r => [
    ...r.querySelectorAll(selector),
    ...[...r.querySelectorAll('*')].flatMap(e => e.shadowRoot ? all(e.shadowRoot, selector) : []),
]);
const nodes = e => e.tagName === 'SLOT' ? e.assignedNodes() : [...(e.shadowRoot || e).childNodes];
const silent = e => ['STYLE', 'SCRIPT', 'TEMPLATE', 'svg'].includes(e.tagName)
    || getComputedStyle(e).display === 'none';
const text = n => n.nodeType === 3 ? n.data
    : n.nodeType !== 1 || silent(n) ? '' : nodes(n).map(text).join(' ');
const shown = arguments[0].split(' >>> ')
    .reduce((roots, selector) => roots.flatMap(root => all(root, selector)), [document])
    .filter(e => e.getClientRects().length > 0);
"""

Found = TypeVar("Found")


def missing() -> str:
    """Why there is no browser; empty if there is one."""
    names = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    return f"{' and '.join(names)} not found: scripts/install-browser" if names else ""


@contextmanager
def chromium() -> Iterator[webdriver.Chrome]:
    """A browser without a screen."""
    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for argument in _ARGUMENTS:
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    os.environ["SE_AVOID_STATS"] = "true"
    driver = webdriver.Chrome(options, Service(shutil.which("chromedriver")))
    try:
        yield driver
    finally:
        driver.quit()


@contextmanager
def served(storage: Path, *runs: str) -> Iterator[str]:
    """Where the command shows some runs; it has to end as it should on Ctrl-C."""
    code = "from launch.cli import main; main()"
    options = ["tensorboard", *runs, "--storage", str(storage), "--port", "0"]
    command = [sys.executable, "-u", "-c", code, *options]
    environment = os.environ | {"COLUMNS": "200", "PYTHONWARNINGS": "ignore"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        said = ""
        while "Ctrl-C" not in said:
            line = process.stdout.readline()
            assert line, f"the server did not start: {said}"
            said += line
        found = re.search(r"http://127\.0\.0\.1:\d+/", said)
        assert found, said
        try:
            yield found[0]
        finally:
            process.send_signal(signal.SIGINT)
            code_of_exit = process.wait(PATIENCE)
    assert code_of_exit == 130


class Page:
    """One of TensorBoard's pages.

    Args:
        driver: The browser.
        url: Where TensorBoard is.
    """

    def __init__(self, driver: webdriver.Chrome, url: str) -> None:
        self.driver = driver
        self._url = url

    def open(self, name: str, **options: str) -> None:
        """Opens a page afresh."""
        self.driver.get("about:blank")
        self.driver.get(f"{self._url}#{name}{''.join(f'&{k}={v}' for k, v in options.items())}")

    def look(self, selector: str, expression: str) -> list[Any]:
        """A JavaScript expression in `e` for each element that can be seen.

        Args:
            selector: A CSS selector; ` >>> ` leads into what is below, shadow roots included.
            expression: What is wanted of an element.
        """
        script = f"{_FIND} return shown.map(e => ({expression}));"
        return list(self.driver.execute_script(script, selector))

    def texts(self, selector: str) -> list[str]:
        """Texts of the elements that can be seen, without empty ones."""
        found = (" ".join(text.split()) for text in self.look(selector, "text(e)"))
        return [text for text in found if text]

    def click(self, selector: str, text: str) -> None:
        """Clicks the one element of that text."""
        script = f"{_FIND} shown.find(e => text(e).trim() === arguments[1]).click();"
        self.driver.execute_script(script, selector, text)

    def wait(self, condition: Callable[[], Found], what: str) -> Found:
        """Waits until a condition holds; what it gave."""
        waiting = WebDriverWait(self.driver, PATIENCE, poll_frequency=0.25)
        return waiting.until(lambda _: condition(), what)

    def complaints(self) -> list[str]:
        """Errors that pages have written to the console since the last call."""
        log = self.driver.get_log("browser")
        return [entry["message"] for entry in log if entry["level"] == "SEVERE"]
