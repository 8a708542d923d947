"""`onetoall evaluate --benchmark` on small sets in the layouts of the published ones, with stand-ins for networks."""

import csv
import io
import shutil
import stat
import zipfile

import numpy as np
import pytest
from command_fixtures import real_poses

from onetoall_cli.animator import Animator, Result, engine
from onetoall_cli.errors import BadInput
from onetoall_cli.evaluation.benchmarks.deepfashion import _pose
from onetoall_cli.evaluation.pairs import metrics
from onetoall_cli.hub.places import derived_folder
from onetoall_cli.media import FrameFolderWriter, VideoWriter, write_picture
from onetoall_cli.pose import keypoints as kp

FRAMES = 5
RNG = np.random.default_rng(0)
SMALL = "--detector builtin --short-side 32 --steps 1"


def frames(count: int = FRAMES) -> np.ndarray:
    """Noise in the shape of the dance whose poses the stand-in of the detector sees."""
    return RNG.integers(60, 180, (count, 192, 108, 3), np.uint8)


@pytest.fixture
def networks(monkeypatch, machine, seeing):
    """Every metric network as a stand-in; the detector's is `seeing`."""
    from test_cli_evaluate_pairs import StandIn

    monkeypatch.setattr(metrics.stored, "is_installed", lambda entry: True)
    monkeypatch.setattr(metrics.stored, "load_network", lambda entry, device: StandIn(entry))


@pytest.fixture
def tiktok(tmp_path, reference):
    """Two folders of frames with their references, as in the archive."""
    root = tmp_path / "set" / "tiktok_test_set"
    root.mkdir(parents=True)
    for name in ("000", "001"):
        with FrameFolderWriter(root / name) as folder:
            for frame in frames():
                folder.write(frame)
        shutil.copy(reference, root / f"{name}_reference.png")
    return root.parent


@pytest.fixture
def cartoon(tmp_path, reference):
    """A video and its reference, as in the archive."""
    root = tmp_path / "cartoons"
    (root / "reference").mkdir(parents=True)
    with VideoWriter(root / "dog.mp4", 108, 192, fps=10) as video:
        for frame in frames():
            video.write(frame)
    shutil.copy(reference, root / "reference" / "dog.png")
    return root


def archive_of(folder) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.name[0] != ".":
                archive.write(path, path.relative_to(folder))
    return stream.getvalue()


def test_tiktok_is_fetched_made_once_measured_and_shown_beside_the_paper(
    onetoall, hub, tiktok, networks, model, tmp_path, monkeypatch
) -> None:
    hub.add("datasets/MochunniaN1/One-to-All-sub", {"tiktok_test_set.zip": archive_of(tiktok)})
    loaded, made = [], []
    load, save = engine.load_pipeline, Result.save
    monkeypatch.setattr(engine, "load_pipeline", lambda *a, **k: loaded.append(1) or load(*a, **k))
    monkeypatch.setattr(Result, "save", lambda self, *a, **k: made.append(self) or save(self, *a, **k))
    command = ("evaluate", "--benchmark", "tiktok", f"{model} {SMALL}")
    first = onetoall(*command, "--json", "--csv", "t.csv", "--markdown", "t.md")
    assert first.exit_code == 0, first.err
    assert "Licence: not stated" in first.err
    (run,) = first.json["runs"].values()
    assert {"psnr", "ssim", "lpips", "fvd", "fid-vid"} == set(run["metrics"]) and run["protocol"] == "disco"
    assert run["metrics"]["fvd"]["vectors"] == 2 and len(run["clips"]) == 2
    assert first.json["paper"]["14B"]["fvd"] == 297.9
    assert len(loaded) == 1 and len(made) == 2
    used = made[0]
    assert (used.conditioning.face, used.conditioning.head, used.conditioning.meta["mode"]) == ("light", "full", "none")
    assert used.conditioning.motion.fps == 30 and used.seed == 42
    with open(tmp_path / "t.csv", newline="") as stream:
        assert [row["clip"] for row in csv.DictReader(stream)] == ["000", "001"]
    assert "| paper: 1.3B | 17.75 | 0.788 | 0.269 | 361.9 | - |" in (tmp_path / "t.md").read_text()
    again = onetoall(*command, "--metrics", "psnr")
    assert again.exit_code == 0 and len(made) == 2, "nothing is made twice"
    for words in ("TikTok test set.", "The published set has 10", "paper: 14B", "18.07"):
        assert words in again.out
    assert onetoall("fetch", "--remove", "tiktok").exit_code == 0 and not derived_folder("tiktok").exists()


def test_cartoons_come_from_a_folder_and_variants_change_one_thing_each(
    onetoall, cartoon, networks, model, monkeypatch
) -> None:
    made, save = [], Result.save
    monkeypatch.setattr(Result, "save", lambda self, *a, **k: made.append(self) or save(self, *a, **k))
    command = ("evaluate", "--benchmark", "cartoon", f"{model} {SMALL}", "--data", cartoon, "--metrics", "psnr,ssim")
    result = onetoall(*command, "--variants")
    assert result.exit_code == 0, result.err
    for words in ("Cartoon test set.", "without pose guidance", "face full", "17.10"):
        assert words in result.out
    table = [line for line in result.out.splitlines() if "set" not in line and "Protocol" not in line]
    assert max(map(len, table)) <= 80
    sampling = [each.resolved.sampling for each in made]
    assert [each.carry for each in sampling] == ["toned", "none", "toned", "toned"]
    assert [each.pose_guidance_scale > 1 for each in sampling] == [True, True, False, True]
    assert [each.conditioning.face for each in made] == ["light", "light", "light", "full"]


def test_released_models_get_the_settings_of_their_authors() -> None:
    from onetoall_cli.evaluation.benchmarks.table import benchmark

    tiktok = benchmark("tiktok")
    square = tiktok.settings_of("14b-nf4", "002")
    assert (square["width"], square["height"], square["ref_guidance"], square["carry"]) == (512, 512, "2.0", "frames")
    assert "short_side" not in square
    calm = tiktok.settings_of("14b", "001")
    assert (calm["ref_guidance"], calm["pose_guidance"], calm["short_side"]) == ("1.5", "1.2", 768)
    small = tiktok.settings_of("1.3b-v1", "001", {"short_side": 64})
    assert (small["ref_guidance"], small["pose_guidance"], small["short_side"]) == ("2.5", "1.5", 64)
    assert benchmark("cartoon").settings_of("14b", "dog")["ref_guidance"] == "2.5"
    assert "steps" not in tiktok.settings_of("tiny", "001")


@pytest.fixture
def deepfashion(tmp_path):
    """Two pairs with their body points."""
    root = tmp_path / "fashion"
    (root / "test_highres").mkdir(parents=True)
    lines = ["name:keypoints_y:keypoints_x"]
    for name, whose in (("a.jpg", "ref_half"), ("b.jpg", "dance_full")):
        poses = real_poses(whose)
        points = poses.keypoints[0, 0] * [176 / poses.width, 256 / poses.height, 1]
        write_picture(root / "test_highres" / name, RNG.integers(60, 180, (110, 75, 3), np.uint8))
        body = [points[[5, 6]].mean(axis=0) if row is None else points[row] for row in kp.OPENPOSE_BODY]
        y, x = ([round(point[axis]) if point[2] > 0.3 else -1 for point in body] for axis in (1, 0))
        lines.append(f"{name}:{y}:{x}")
    (root / "fasion-resize-annotation-test.csv").write_text("\n".join(lines))
    (root / "fasion-resize-pairs-test.csv").write_text("from,to\na.jpg,b.jpg\nb.jpg,a.jpg\n")
    return root


def test_deepfashion_has_its_pairs_and_its_body_points(onetoall, deepfashion, networks, model, tmp_path) -> None:
    command = ("evaluate", "--benchmark", "deepfashion", f"{model} --width 32 --height 48 --steps 1")
    result = onetoall(*command, "--data", deepfashion, "--json")
    assert result.exit_code == 0, result.err
    (run,) = result.json["runs"].values()
    assert run["metrics"]["fid"]["vectors"] == 2 and run["kind"] == "pictures" and run["protocol"] == "cfld"
    assert [clip["name"] for clip in run["clips"]] == ["a_to_b", "b_to_a"]
    with_size = onetoall(*command, "--data", deepfashion, "--metrics", "psnr").out
    assert "2 pictures, 352 x 512; 2 results scaled" in with_size and "paper: CFLD" in with_size
    (deepfashion / "train_highres").mkdir()
    for name in "xyz":
        write_picture(deepfashion / "train_highres" / f"{name}.jpg", RNG.integers(60, 180, (110, 75, 3), np.uint8))
    trained = onetoall(*command, "--data", deepfashion, "--metrics", "fid", "--json")
    assert trained.exit_code == 0, trained.err
    (against_training,) = trained.json["runs"].values()
    assert "FID against all 3 training pictures." in against_training["notes"]
    assert against_training["metrics"]["fid"]["value"] != run["metrics"]["fid"]["value"]
    (deepfashion / "test_highres" / "b.jpg").unlink()
    missing = onetoall(*command, "--data", deepfashion)
    assert missing.exit_code == 2 and "b.jpg" in missing.err


def test_a_body_point_that_lies_nowhere_is_refused() -> None:
    with pytest.raises(BadInput, match="line 2, holds no 18 points"):
        _pose(["[1e300" + ", 0" * 17 + "]", "[0" + ", 0" * 17 + "]"], "list.csv, line 2")


def break_reference(root):
    (root / "tiktok_test_set" / "001_reference.png").unlink()


def break_frames(root):
    (root / "tiktok_test_set" / "001" / "000000.png").write_bytes(b"no picture")


def leave_one_frame(root):
    for path in sorted((root / "tiktok_test_set" / "001").glob("*.png"))[1:]:
        path.unlink()


def empty_a_folder(root):
    for path in (root / "tiktok_test_set" / "001").iterdir():
        path.unlink()


def empty_all(root):
    shutil.rmtree(root / "tiktok_test_set")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (break_reference, "001_reference.png is missing"),
        (break_frames, "000000.png"),
        (leave_one_frame, "001 has one frame"),
        (empty_a_folder, "001"),
        (empty_all, "holds no clips with references"),
    ],
)
def test_a_set_that_is_not_whole_is_refused_before_anything_is_made(
    onetoall, tiktok, model, networks, monkeypatch, damage, words
) -> None:
    monkeypatch.setattr(Animator, "animate", lambda *a, **k: pytest.fail("something was made"))
    damage(tiktok)
    result = onetoall("evaluate", "--benchmark", "tiktok", f"{model} {SMALL}", "--data", tiktok)
    assert result.exit_code == 2 and words in result.err and result.err.count("\n") <= 2


def test_a_broken_video_is_refused_before_anything_is_made(onetoall, cartoon, model, networks) -> None:
    (cartoon / "dog.mp4").write_bytes(b"no video")
    result = onetoall("evaluate", "--benchmark", "cartoon", f"{model} {SMALL}", "--data", cartoon)
    assert result.exit_code == 2 and "dog.mp4" in result.err


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("tiktok", "--", "--fast both"), "names no model"),
        (("deepfashion", "tiny"), "Give its folder with --data"),
        (("tiktok", "tiny", "--protocol", "disco"), "--protocol does not go with --benchmark"),
        (("puppets", "tiny", "--data", "x"), "--data does not go with an evaluation on puppets"),
        (("tiktok", "tiny", "--data", "none"), "none is no folder"),
        (("tiktok", "no-such-model"), "no model or folder"),
    ],
)
def test_what_cannot_be_asked_is_refused(onetoall, machine, command, words) -> None:
    result = onetoall("evaluate", "--benchmark", *command)
    assert result.exit_code == 2 and words in result.err


@pytest.mark.parametrize("name", ["../outside.png", "/outside.png", "a/../../outside.png", "link"])
def test_an_archive_cannot_write_outside_its_folder(tmp_path, name) -> None:
    from onetoall_cli.errors import ModelMissing
    from onetoall_cli.evaluation.benchmarks.sets import unpack

    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.writestr("good.png", b"x")
        member = zipfile.ZipInfo(name)
        if name == "link":
            member.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(member, b"/etc/passwd")
    with pytest.raises(ModelMissing, match=r"set.zip"):
        unpack(tmp_path / "set.zip", tmp_path / "deep" / "set")
    assert not (tmp_path / "outside.png").exists() and not (tmp_path / "deep" / "set").exists()
    (tmp_path / "set.zip").write_bytes(b"PK\x03\x04 broken")
    with pytest.raises(ModelMissing, match="damaged"):
        unpack(tmp_path / "set.zip", tmp_path / "deep" / "set")
