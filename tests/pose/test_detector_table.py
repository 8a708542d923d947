"""The table of detectors: opening one by name, and everything else that names them held to it."""

from pathlib import Path

import onnx_people
import pytest

from onetoall_cli import doctor
from onetoall_cli.errors import BadInput, ModelMissing
from onetoall_cli.hub import load_catalogue
from onetoall_cli.pose import open_detector
from onetoall_cli.pose.detect import installed_detectors
from onetoall_cli.pose.detectors.builtin import networks
from onetoall_cli.pose.detectors.table import DETECTORS

NAMES = tuple(row.name for row in DETECTORS)
FETCHED = [row for row in DETECTORS if row.fetch]


@pytest.fixture
def fetched(tmp_path):
    return onnx_people.save_all(tmp_path)


class TestOpening:
    def test_auto_takes_the_best_that_is_installed(self, fetched):
        assert installed_detectors(fetched.get) == NAMES == ("vitpose", "dwpose", "builtin")
        with open_detector("auto", locate=fetched.get) as detector:
            assert detector.name == "vitpose"
        del fetched["yolov10m"]
        with open_detector(locate=fetched.get) as detector:
            assert detector.name == "dwpose"

    def test_a_fresh_machine_has_one(self):
        assert installed_detectors({}.get) == ("builtin",)
        with open_detector(locate={}.get) as detector:
            assert detector.description == "builtin (CPU)"

    @pytest.mark.parametrize("row", FETCHED, ids=lambda row: row.name)
    def test_one_without_a_file_names_it_and_the_command(self, row, fetched):
        del fetched[row.files[1]]
        with pytest.raises(ModelMissing) as caught:
            open_detector(row.name, locate=fetched.get)
        assert row.files[1] in caught.value.problem and f"onetoall fetch {row.fetch}" in caught.value.advice

    def test_a_file_missing_from_the_package_says_to_install_it_again(self, tmp_path, monkeypatch):
        monkeypatch.setattr(networks, "FOLDER", tmp_path)
        with pytest.raises(ModelMissing, match=r"pose_detection\.onnx") as caught:
            open_detector("builtin")
        assert "install onetoall-cli again" in caught.value.advice

    def test_an_unknown_name_is_bad_input(self):
        with pytest.raises(BadInput, match="openpose"):
            open_detector("openpose", locate={}.get)


class TestWhoNamesThem:
    def test_doctor_lists_them_and_advises_the_best(self, monkeypatch):
        def finding():
            (found,) = doctor._detectors()
            return found

        assert finding().detail.startswith("builtin;")
        assert f"onetoall fetch {DETECTORS[0].fetch}`" in finding().advice and DETECTORS[0].cost in finding().advice
        monkeypatch.setattr("onetoall_cli.hub.component_path", lambda file: Path(file))
        assert finding().detail.startswith(", ".join(NAMES) + ";") and not finding().advice

    @pytest.mark.parametrize("row", FETCHED, ids=lambda row: row.name)
    def test_the_catalogue_brings_their_files(self, row):
        assert row.fetch in load_catalogue().entries
