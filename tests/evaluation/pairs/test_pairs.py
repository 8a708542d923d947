"""Results find their truth by name, and what does not fit is named before anything is measured."""

import numpy as np
import pytest

from onetoall_cli.errors import BadInput
from onetoall_cli.evaluation.pairs.evaluation import evaluate_pairs
from onetoall_cli.evaluation.pairs.metrics import Instruments, set_up
from onetoall_cli.evaluation.pairs.pairing import find_pairs, open_pairs, read_pairs
from onetoall_cli.evaluation.pairs.protocols import PROTOCOLS
from onetoall_cli.media import FrameFolderWriter, write_picture

DEFAULT, DISCO = PROTOCOLS["default"], PROTOCOLS["disco"]


def clip(path, frames=3, value=100, height=40, width=48):
    path.parent.mkdir(parents=True, exist_ok=True)
    with FrameFolderWriter(path) as folder:
        for number in range(frames):
            folder.write(np.full((height, width, 3), value + number, np.uint8))
    return path


def still(path, value=100):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_picture(path, np.full((40, 48, 3), value, np.uint8))
    return path


def test_members_of_two_folders_meet_by_name_in_natural_order(tmp_path):
    for side in ("made", "true"):
        for name in ("clip10", "clip2"):
            clip(tmp_path / side / name)
    (tmp_path / "true" / "notes.txt").write_text("no clip")
    still(tmp_path / "true" / "clip2_reference.png")  # beside clips: not one of them
    pairs = find_pairs(tmp_path / "made", tmp_path / "true")
    assert [pair.name for pair in pairs] == ["clip2", "clip10"]
    assert pairs[0].truth == tmp_path / "true" / "clip2"


def test_a_folder_of_pictures_is_a_clip_or_holds_pictures_as_told(tmp_path):
    for name in ("a", "b"):
        still(tmp_path / "made" / f"{name}.png")
        still(tmp_path / "true" / f"{name}.jpg")
    (as_clip,) = find_pairs(tmp_path / "made", tmp_path / "true")
    assert open_pairs([as_clip], DEFAULT)[0].frames == 2
    assert [pair.name for pair in find_pairs(tmp_path / "made", tmp_path / "true", pictures=True)] == ["a", "b"]


def test_a_csv_names_pairs_relative_to_itself(tmp_path):
    clip(tmp_path / "x" / "made"), clip(tmp_path / "y" / "true")
    (tmp_path / "pairs.csv").write_text("result,truth\nx/made, y/true\n\n")
    (pair,) = read_pairs(tmp_path / "pairs.csv")
    assert open_pairs([pair], DEFAULT)[0].frames == 3


@pytest.mark.parametrize("content", ["", "result,truth\n", "a,b,c\n", "a\n", "a,\n"])
def test_a_csv_without_pairs_is_refused(tmp_path, content):
    (tmp_path / "pairs.csv").write_text(content)
    with pytest.raises(BadInput, match=r"pairs\.csv"):
        read_pairs(tmp_path / "pairs.csv")


def test_what_stands_on_one_side_only_is_named(tmp_path):
    clip(tmp_path / "made" / "a"), clip(tmp_path / "true" / "a"), clip(tmp_path / "true" / "b")
    with pytest.raises(BadInput, match=r"b is in .*true, but not in .*made"):
        find_pairs(tmp_path / "made", tmp_path / "true")


def test_missing_files_empty_folders_and_a_clip_against_many_are_refused(tmp_path):
    clip(tmp_path / "true" / "a")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="does not exist"):
        find_pairs(tmp_path / "nothing", tmp_path / "true")
    with pytest.raises(BadInput, match="holds no videos or pictures"):
        find_pairs(tmp_path / "empty", tmp_path / "true")
    with pytest.raises(BadInput, match="is one clip"):
        find_pairs(tmp_path / "true" / "a", tmp_path / "true")


def test_clips_of_unlike_lengths_are_refused_or_cut_as_the_protocol_says(tmp_path):
    for name in ("a", "b"):
        clip(tmp_path / "made" / name, frames=5), clip(tmp_path / "true" / name, frames=4)
    pairs = find_pairs(tmp_path / "made", tmp_path / "true")
    with pytest.raises(BadInput, match=r"2 of 2 pairs .*a has 5 frames.*a has 4.*b has 5 frames"):
        open_pairs(pairs, DEFAULT)
    assert [pair.frames for pair in open_pairs(pairs, DISCO)] == [4, 4]


def test_unreadable_and_tiny_clips_are_named(tmp_path):
    broken, true = tmp_path / "a.mp4", clip(tmp_path / "true" / "a")
    broken.write_bytes(b"no video")
    with pytest.raises(BadInput, match=r"a\.mp4"):
        open_pairs(find_pairs(broken, true), DEFAULT)
    small = clip(tmp_path / "small", height=20)
    with pytest.raises(BadInput, match="48 x 20"):
        open_pairs(find_pairs(small, small), DEFAULT)


def test_results_of_another_size_are_scaled_to_the_truth(tmp_path):
    made, true = clip(tmp_path / "made", height=80, width=96), clip(tmp_path / "true")
    (pair,) = open_pairs(find_pairs(made, true), DEFAULT)
    assert pair.scaled
    for result, truth in pair:
        assert np.array_equal(result, truth)


def test_means_are_over_frames_then_over_clips_and_the_worst_frames_are_kept(tmp_path):
    offsets = {"a": [1, 1, 4], "b": [2]}  # unlike lengths: a long clip counts as much as a short one
    for name, values in offsets.items():
        for side in ("made", "true"):
            (tmp_path / side).mkdir(exist_ok=True)
            with FrameFolderWriter(tmp_path / side / name) as folder:
                for value in [*values, *values]:
                    folder.write(np.full((40, 48, 3), 100 + (value if side == "made" else 0), np.uint8))
    opened = open_pairs(find_pairs(tmp_path / "made", tmp_path / "true"), DEFAULT)
    found = evaluate_pairs(opened, DEFAULT, set_up(["psnr"], "videos", DEFAULT))
    psnr = {value: 10 * np.log10(255**2 / value**2) for value in (1, 2, 4)}
    first = (2 * psnr[1] + psnr[4]) / 3
    assert found.per_clip("psnr") == pytest.approx([first, psnr[2]])
    assert found.mean("psnr") == pytest.approx((first + psnr[2]) / 2)
    assert [(frame.clip, frame.frame) for frame in found.worst] == [("a", 2), ("b", 0)]  # one a second
    assert found.worst[0].made[0, 0, 0] == 104


def test_frames_without_a_value_do_not_count(tmp_path):
    values = iter([1.0, float("nan"), 3.0])
    (pair,) = open_pairs(find_pairs(clip(tmp_path / "made"), clip(tmp_path / "true")), DEFAULT)
    found = evaluate_pairs([pair], DEFAULT, Instruments(frame={"csim": lambda made, true: next(values)}))
    assert found.mean("csim") == 2


def test_a_file_that_ends_early_is_named(tmp_path, monkeypatch):
    (pair,) = open_pairs(find_pairs(clip(tmp_path / "made"), clip(tmp_path / "true")), DEFAULT)
    object.__setattr__(pair, "frames", 4)  # as a damaged file announces
    with pytest.raises(BadInput, match="3 frames came instead of 4"):
        evaluate_pairs([pair], DEFAULT, set_up(["psnr"], "videos", DEFAULT))
