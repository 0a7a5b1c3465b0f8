"""The wheel, installed where the checkout cannot be seen."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(CHECKOUT)]
    subprocess.run(build, check=True, capture_output=True, timeout=240)
    return next(folder.glob("*.whl"))


def test_it_holds_the_four_packages_with_their_data_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    folders = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert folders == {"autoshrink_ray", "search_spaces", "trainables", "launch"}
    assert "autoshrink_ray/presets/demo.yaml" in names
    assert {"run.html.j2", "compare.html.j2", "style.css"} <= {
        name.rpartition("/")[2] for name in names if name.startswith("autoshrink_ray/report/")
    }
    assert any(name.endswith("licenses/LICENSE") for name in names)


@pytest.mark.slow
def test_it_searches_outside_the_checkout(wheel: Path, tmp_path: Path) -> None:
    """A new environment that sees our dependencies, but not the editable install."""
    home = tmp_path / "venv"
    venv.create(home, with_pip=False)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    dependencies = sysconfig.get_path("purelib")
    (home / "lib" / version / "site-packages" / "dependencies.pth").write_text(dependencies)
    python = home / "bin" / "python"
    install = ["-m", "pip", "install", "--no-deps", "--no-index", "--ignore-installed", str(wheel)]
    subprocess.run([python, *install], check=True, capture_output=True, cwd=tmp_path, timeout=120)
    tool = home / "bin" / "autoshrink-ray"

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [tool, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "shrink-cnn-a" in run("zoo")
    options = "--preset demo --nodes 3 --epochs 1 --proxy-train-per-class 8 --name tiny --quiet"
    run("search", *options.split())
    assert json.loads(run("show", "tiny", "--json"))["status"] == "finished"
    where = "import autoshrink_ray; print(autoshrink_ray.__file__)"
    found = subprocess.run([python, "-c", where], cwd=tmp_path, capture_output=True, text=True)
    assert str(home) in found.stdout
