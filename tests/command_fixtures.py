"""A small untrained model, a driving video with sound, poses of real people, and a way to run the command."""

import json
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from golden_recipe import DATA
from typer.testing import CliRunner
from untrained_model import build_untrained_model

from onetoall_cli.cli import app
from onetoall_cli.media import VideoWriter, write_picture
from onetoall_cli.pose import PoseSequence
from onetoall_cli.pose.detectors.interface import Detector

FRAMES, RATE = 20, 10


@dataclass(frozen=True)
class Result:
    exit_code: int
    out: str
    err: str

    @property
    def json(self) -> dict:
        (line,) = self.out.splitlines()
        return json.loads(line)


@pytest.fixture
def onetoall(monkeypatch, tmp_path):
    """Run a command line in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Result:
        result = CliRunner().invoke(app, [str(each) for each in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Result(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Path:
    return build_untrained_model(tmp_path_factory.mktemp("model"))


def real_poses(name: str, frames: int | None = None) -> PoseSequence:
    stored = np.load(DATA / "poses_real.npz")
    keypoints = stored[name] if stored[name].ndim == 3 else stored[name][None]
    width, height = stored[f"{name}_size"]
    return PoseSequence(keypoints[:frames, None], int(width), int(height), fps=RATE)


@pytest.fixture(scope="session")
def reference(tmp_path_factory) -> Path:
    """A picture in the shape of the reference whose pose `ref_pose` is."""
    path = tmp_path_factory.mktemp("reference") / "ref.png"
    height, width = 505, 256
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0] = np.linspace(0, 255, width)
    image[..., 1] = np.linspace(0, 255, height)[:, None]
    write_picture(path, image)
    return path


@pytest.fixture(scope="session")
def ref_pose(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("ref_pose") / "ref.json"
    real_poses("ref_half").save(path)
    return path


@pytest.fixture(scope="session")
def dance_poses(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("poses") / "dance.json"
    real_poses("dance_full", FRAMES).save(path)
    return path


@pytest.fixture(scope="session")
def dance(tmp_path_factory) -> Path:
    """A driving video of FRAMES frames with a tone; who dances in it is what `seeing` says."""
    folder = tmp_path_factory.mktemp("dance")
    tone = folder / "tone.m4a"
    with av.open(str(tone), "w") as container:
        stream = container.add_stream("aac", rate=44100, layout="mono")
        samples = (0.3 * np.sin(2 * np.pi * 440 * np.arange(44100 * FRAMES // RATE) / 44100)).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 44100, 0, Fraction(1, 44100)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    path = folder / "dance.mp4"
    from onetoall_cli.media import Audio

    with VideoWriter(path, 108, 192, fps=RATE, audio=Audio(tone)) as writer:
        for index in range(FRAMES):
            writer.write(np.full((192, 108, 3), 10 * index, np.uint8))
    return path


class SeeingDetector(Detector):
    """Sees the people of `poses` in every picture of their shape, one frame after the other; nobody elsewhere."""

    name = description = "test"

    def __init__(self, poses: list[PoseSequence]) -> None:
        self._poses, self._frame = poses, 0

    def detect(self, images):
        return [self._people(image) for image in images]

    def follow(self, frames):
        for index, image in enumerate(frames):
            self._frame = index
            yield self._people(image)

    def close(self):
        pass

    def _people(self, image):
        height, width = image.shape[:2]
        for poses in self._poses:
            if abs(width / height * poses.height / poses.width - 1) < 0.02:
                scale = np.array([width / poses.width, height / poses.height, 1], np.float32)
                return poses.keypoints[min(self._frame, len(poses) - 1)] * scale
        return np.zeros((0, 133, 3), np.float32)


@pytest.fixture
def seeing(monkeypatch):
    """Make every detector see the real poses in pictures of their shape."""

    def open_detector(name="auto", **_):
        return SeeingDetector([real_poses("dance_full", FRAMES), real_poses("ref_half")])

    monkeypatch.setattr("onetoall_cli.pose.detect.open_detector", open_detector)
