"""The installation: what pip puts beside the package must not overwrite each other, nor want a display."""

from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("module", ["cv2", "onnxruntime"])
def test_one_distribution_owns_each_folder_that_others_ship_too(module):
    """OpenCV and ONNX Runtime come as several distributions with one folder: the last one installed wins, and
    `opencv-python` and `opencv-contrib-python` want libGL, which servers lack."""
    owners = set(packages_distributions()[module])
    assert len(owners) == 1, f"Several distributions own {module}: {', '.join(sorted(owners))}. Uninstall all but one."


def test_the_lighter_installation_leaves_out_what_is_a_dependency_and_takes_its_twin():
    lines = (line.split("#")[0].strip() for line in (ROOT / ".ci/cpu-overrides.txt").read_text().splitlines())
    left_out, instead = (Requirement(line) for line in lines if line)
    pyproject = (ROOT / "pyproject.toml").read_text()
    assert f'"{left_out.name}{instead.specifier}' in pyproject and f'"{instead.name}{instead.specifier}' in pyproject
    assert left_out.marker is not None
    assert not any(left_out.marker.evaluate({"sys_platform": each}) for each in ("linux", "win32", "darwin"))
