"""Plug-ins of installed packages: found by name, without `--plugin`."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoshrink_ray import plugins
from autoshrink_ray.errors import ConfigError

ENTRY_POINTS = """\
[autoshrink_ray.spaces]
installed-cells = installed_cells:SPACE

[autoshrink_ray.datasets]
installed-data = installed_cells:data
"""

MODULE = """\
from search_spaces.cnn import CnnSpace

SPACE = CnnSpace()


def data(request):
    return request.spec
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package as pip leaves it: a module, and what it declares."""
    (tmp_path / "installed_cells.py").write_text(MODULE)
    info = tmp_path / "installed_cells-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: installed-cells\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.usefixtures("package")
def test_an_installed_package_adds_its_names() -> None:
    assert "installed-cells" in plugins.space_names()
    assert "installed-data" in plugins.dataset_names()
    assert plugins.space_reference("installed-cells") == "installed_cells:SPACE"
    assert plugins.space("installed-cells").name == "cnn"


def test_names_go_with_their_package() -> None:
    assert "installed-cells" not in plugins.space_names()
    with pytest.raises(ConfigError, match="unknown data set 'installed-data'"):
        plugins.dataset("installed-data")
