"""The ONNX detectors from picture to keypoints, on networks that find painted people: right place, colours, order,
batches, files."""

import logging
import shutil

import numpy as np
import onnx_people
import pytest
from onnx_people import BLUE, GREEN, RED, backdrop, paint

from onetoall_cli.errors import BadInput, ModelMissing, OutOfResources
from onetoall_cli.pose.detect import open_detector
from onetoall_cli.pose.detectors.onnx_model import OnnxModel

NAMES = ["vitpose", "dwpose"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return onnx_people.save_all(tmp_path_factory.mktemp("onnx"))


@pytest.fixture(params=NAMES)
def detector(request, files):
    with open_detector(request.param, device="cpu", locate=files.get) as detector:
        yield detector


def check(person, middles, within):
    for row, middle in middles.items():
        assert person[row, :2] == pytest.approx(middle, abs=within)
        assert person[row, 2] > 0.3
    others = np.delete(person, list(middles), axis=0)
    assert (others[:, 2] == 0).all()


def test_markers_are_found_where_they_were_painted(detector):
    image = backdrop(640, 480)
    middles = paint(image, RED, (220, 60, 380, 440))
    (people,) = detector.detect([image])
    assert people.shape == (1, 133, 3) and people.dtype == np.float32
    check(people[0], middles, within=1)


def test_a_large_frame_is_mapped_back_exactly(detector):
    image = backdrop(3840, 2160)
    middles = paint(image, RED, (1500, 200, 2300, 2000), marker=30)
    (people,) = detector.detect([image])
    check(people[0], middles, within=6)  # of the frame's pixels, of which an input pixel is 6 to 9


def test_people_come_largest_first_and_dogs_not_at_all(detector):
    image = backdrop(900, 500)
    small = paint(image, RED, (60, 150, 160, 400))
    large = paint(image, GREEN, (350, 40, 540, 470))
    paint(image, BLUE, (650, 60, 850, 480))
    (people,) = detector.detect([image])
    assert len(people) == 2
    check(people[0], large, within=1)
    check(people[1], small, within=1)


def test_a_person_partly_outside_the_picture_is_read_from_what_is_seen(detector):
    image = backdrop(500, 400)
    middles = paint(image, RED, (340, 40, 500, 400))
    (people,) = detector.detect([image])
    check(people[0], middles, within=1)


def test_the_answer_for_a_picture_does_not_depend_on_its_batch(detector):
    pictures = [backdrop(320 + 40 * i, 300, seed=i) for i in range(6)]
    for i in (0, 2, 3):
        paint(pictures[i], RED, (40, 40, 140, 280))
    paint(pictures[3], GREEN, (200, 60, 300, 280))
    together = detector.detect(pictures)
    assert [len(people) for people in together] == [1, 0, 1, 2, 0, 0]
    for people, picture in zip(together, pictures, strict=True):
        np.testing.assert_allclose(people, detector.detect([picture])[0], atol=1e-4)


def test_no_pictures_give_no_answers(detector):
    assert detector.detect([]) == []


def test_following_a_clip_holds_one_batch_of_frames(detector):
    read = 0

    def frames():
        nonlocal read
        for i in range(9):
            read += 1
            image = backdrop(200, 200)
            paint(image, RED, (20 + 4 * i, 20, 90 + 4 * i, 180))
            yield image

    ahead = []
    for done, people in enumerate(detector.follow(frames()), start=1):
        ahead.append(read - done)
        assert len(people) == 1
    assert len(ahead) == 9 and max(ahead) < detector.batch_size


def test_networks_exported_for_one_picture_work_in_batches(tmp_path):
    files = onnx_people.save_all(tmp_path, batch=1)
    pictures = [backdrop(300, 300, seed=i) for i in range(3)]
    middles = [paint(picture, RED, (60 + 30 * i, 30, 160 + 30 * i, 270)) for i, picture in enumerate(pictures)]
    for name in NAMES:
        with open_detector(name, device="cpu", locate=files.get) as detector:
            for people, expected in zip(detector.detect(pictures), middles, strict=True):
                check(people[0], expected, within=1)


def test_a_fixed_batch_is_filled_up_and_the_filling_dropped(tmp_path):
    model = OnnxModel(onnx_people.save_vitpose(tmp_path / "v.onnx", batch=2), (256, 192), device="cpu", get="pose")
    batch = np.random.default_rng(0).standard_normal((5, 3, 256, 192), dtype=np.float32)
    (maps,) = model.run(batch, [(133, 64, 48)])
    assert len(maps) == 5
    (last,) = model.run(batch[4:], [(133, 64, 48)])
    np.testing.assert_allclose(maps[4:], last, atol=1e-5)


def test_the_description_says_where_it_runs(detector):
    assert detector.description == f"{detector.name} (CPU)"


@pytest.mark.parametrize("device", ["auto", "cuda", "cuda:1", "mps"])
def test_without_a_usable_gpu_the_cpu_is_used_and_stderr_stays_clean(device, files, capfd, monkeypatch):
    monkeypatch.setattr("onetoall_cli.pose.detectors.onnx_model._has_nvidia_driver", lambda: True)
    onnxruntime = pytest.importorskip("onnxruntime")
    if device != "mps" and "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        session = onnxruntime.InferenceSession(files["yolov10m"], providers=["CUDAExecutionProvider"])
        if "CUDAExecutionProvider" in session.get_providers():
            pytest.skip("this machine has a usable GPU")
    capfd.readouterr()
    with open_detector("vitpose", device=device, locate=files.get) as detector:
        assert detector.description == "vitpose (CPU)"
    assert capfd.readouterr() == ("", "")


def test_cuda_that_does_not_work_is_told_in_the_log(files, caplog, monkeypatch):
    monkeypatch.setattr(OnnxModel, "_session_on", lambda self, *_: FakeSession())
    with caplog.at_level(logging.WARNING):
        model = OnnxModel(files["yolov10m"], (640, 640), device="cuda", get="pose")
    assert model.device == "CPU" and "yolov10m.onnx" in caplog.text


@pytest.mark.parametrize("message", ["Failed to allocate memory for requested buffer", "CUDA error: out of memory"])
def test_too_little_memory_is_not_taken_for_a_broken_file(message, files, monkeypatch):
    class Full(FakeSession):
        def run(self, *_):
            raise RuntimeError(f"[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : {message}")

    monkeypatch.setattr(OnnxModel, "_session_on", lambda self, *_: Full())
    model = OnnxModel(files["yolov10m"], (640, 640), device="cpu", get="pose")
    with pytest.raises(OutOfResources, match=r"yolov10m\.onnx"):
        model.run(np.zeros((1, 3, 640, 640), np.float32), [(None, 6)])


def test_a_device_that_cannot_be_is_bad_input(files):
    with pytest.raises(BadInput, match="cuda:one"):
        open_detector("vitpose", device="cuda:one", locate=files.get)


class FakeSession:
    """A session that ONNX Runtime put on the CPU though CUDA was asked for."""

    def get_providers(self):
        return ["CPUExecutionProvider"]

    def get_inputs(self):
        class Input:
            name, type, shape = "images", "tensor(float)", ["batch", 3, 640, 640]

        return [Input()]


def broken(files, tmp_path, name, damage):
    """The files with one replaced by a damaged copy."""
    copy = tmp_path / files[name].name
    if files[name].is_dir():
        shutil.copytree(files[name], copy)
    else:
        shutil.copy(files[name], copy)
    damage(copy)
    return {**files, name: copy}.get


@pytest.mark.parametrize(
    ("detector", "name", "damage"),
    [
        ("vitpose", "yolov10m", lambda path: path.write_bytes(b"not a network")),
        ("vitpose", "yolov10m", lambda path: path.write_bytes(path.read_bytes()[:500])),
        ("dwpose", "dw-ll_ucoco_384", lambda path: path.write_bytes(b"")),
        ("vitpose", "vitpose_h_wholebody", lambda path: [each.unlink() for each in path.glob("c*")]),
        ("vitpose", "vitpose_h_wholebody", lambda path: (path / "end2end.onnx").unlink()),
    ],
    ids=["not ONNX", "cut off", "empty", "external weights missing", "folder without a network"],
)
def test_a_broken_file_is_named(detector, name, damage, files, tmp_path, capfd):
    locate = broken(files, tmp_path, name, damage)
    with pytest.raises(ModelMissing) as caught:
        open_detector(detector, device="cpu", locate=locate)
    assert files[name].name in caught.value.problem
    assert "onetoall fetch" in caught.value.advice
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("detector", "name", "instead"),
    [("vitpose", "yolov10m", "vitpose_h_wholebody"), ("dwpose", "dw-ll_ucoco_384", "yolox_l")],
)
def test_a_network_of_another_input_is_named_when_opened(detector, name, instead, files):
    swapped = {**files, name: files[instead]}
    with pytest.raises(ModelMissing, match="its input is"):
        open_detector(detector, device="cpu", locate=swapped.get)


@pytest.mark.parametrize(("detector", "name", "instead"), [("vitpose", "yolov10m", "yolox_l")])
def test_a_network_of_other_outputs_is_named_when_run(detector, name, instead, files):
    swapped = {**files, name: files[instead]}
    with (
        open_detector(detector, device="cpu", locate=swapped.get) as opened,
        pytest.raises(ModelMissing, match=r"yolox_l\.onnx cannot be used: its outputs"),
    ):
        opened.detect([backdrop(100, 100)])
