"""The installation: what pip puts beside the package must not overwrite each other, nor want a display."""

from importlib.metadata import packages_distributions

import pytest


@pytest.mark.parametrize("module", ["cv2", "onnxruntime"])
def test_one_distribution_owns_each_folder_that_others_ship_too(module):
    """OpenCV and ONNX Runtime come as several distributions with one folder: the last one installed wins, and
    `opencv-python` and `opencv-contrib-python` want libGL, which servers lack."""
    owners = set(packages_distributions()[module])
    assert len(owners) == 1, f"Several distributions own {module}: {', '.join(sorted(owners))}. Uninstall all but one."
