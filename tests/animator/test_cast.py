"""Several characters in one video: each in its dancer's place and size, in its own colours, the nearer before."""

import numpy as np
import pytest

import onetoall_cli as onetoall
from onetoall_cli.animator.inputs import LazyDetector
from onetoall_cli.media import read_picture, write_picture
from onetoall_cli.pose import PoseSequence
from onetoall_cli.puppets import sample_scene

WIDTH, HEIGHT, FRAMES = 192, 144, 5
PUPPETS = (0, 8, 10)


class Crowd:
    """Puppets that cross each other, with a reference picture of each.

    Attributes:
        poses: All of them, in one frame.
        places: Coverage by each, as it is seen, bool (puppets, frames, height, width).
        colours: Mean colour of each, (puppets, 3).
    """

    def __init__(self, count: int, folder, monkeypatch) -> None:
        clips, references, known = [], [], {}
        for number, seed in enumerate(PUPPETS[:count]):
            scene = sample_scene("validation", seed, width=96, height=HEIGHT, frames=FRAMES + 1, framing="full")
            clip = scene.film(supersample=2)
            write_picture(folder / f"{number}.png", clip.frames[-1])
            references.append(clip.frames[-1][clip.masks[-1] > 200].mean(axis=0))
            known[read_picture(folder / f"{number}.png").tobytes()] = clip.poses.frame(FRAMES)
            clips.append(clip)
        monkeypatch.setattr(LazyDetector, "people_in_picture", lambda detector, image: known[image.tobytes()])
        self.colours = np.array(references)
        points = np.zeros((FRAMES, count, 133, 3), np.float32)
        self.places = np.zeros((count, FRAMES, HEIGHT, WIDTH), bool)
        for number, clip in enumerate(clips):
            begin, end = (0, 96) if number == 0 else (96, 0) if number == 1 else (48, 48)
            for frame in range(FRAMES):
                shift = round(begin + (end - begin) * frame / (FRAMES - 1))
                points[frame, number] = clip.poses.keypoints[frame, 0] + [shift, 0, 0]
                self.places[number, frame, :, shift : shift + 96] = clip.masks[frame] > 200
        points[..., 2] = np.where((points[..., 0] >= 0) & (points[..., 0] < WIDTH), points[..., 2], 0)
        self.poses = PoseSequence(points, WIDTH, HEIGHT, 16)

    def others_away(self, number: int) -> np.ndarray:
        """Where a puppet is and no other, bool (frames, height, width)."""
        rest = np.delete(self.places, number, axis=0).any(axis=0)
        return self.places[number] & ~rest


def test_each_takes_its_dancer_s_place_on_one_stage(model, tmp_path, monkeypatch) -> None:
    crowd = Crowd(2, tmp_path, monkeypatch)
    animator = onetoall.load(model, device="cpu")
    settings = {"person": "0", "cast": [f"1={tmp_path / '1.png'}"], "steps": 1, "short_side": 48}
    result = animator.animate(tmp_path / "0.png", crowd.poses, background="white", **settings)
    assert result.size == (64, 48), "the motion's aspect"
    shots = [shot for shot, _ in result.shots()]
    assert len(shots) == FRAMES
    for number, run in enumerate((result, *result.others)):
        placed = result.stage.places[number].points(run.conditioning.motion.keypoints[:, 0, :, :2])
        seen = run.conditioning.motion.keypoints[:, 0, :, 2] > 0
        assert np.abs(placed - crowd.poses.keypoints[:, number, :, :2] / 3)[seen].max() < 0.6
    with_seed = result.with_seed(7)
    assert [run.seed for run in (with_seed, *with_seed.others)] == [7, 7]
    words = result.record["arguments"]
    assert words[words.index("--cast") + 1] == f"1={tmp_path / '1.png'}"


def test_an_interrupted_ensemble_keeps_the_characters_that_are_done(model, tmp_path, monkeypatch) -> None:
    crowd = Crowd(2, tmp_path, monkeypatch)
    notes: list[str] = []
    animator = onetoall.load(model, device="cpu", listener=onetoall.Listener(note=notes.append))
    cast = [f"1={tmp_path / '1.png'}"]
    result = animator.animate(tmp_path / "0.png", crowd.poses, person="0", cast=cast, steps=1, short_side=48)
    generate, calls = animator.engine.generate, []

    def ends_at_the_second(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return generate(*arguments)

    monkeypatch.setattr(animator.engine, "generate", ends_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        result.save(tmp_path / "out.mp4")
    assert [path.name for path in tmp_path.glob("out*")] == ["out.mp4.unfinished"]
    assert result.save(tmp_path / "out.mp4") == FRAMES
    assert any("Continuing" in note for note in notes)
    assert [path.name for path in tmp_path.glob("out*")] == ["out.mp4"]


def test_a_cast_that_cannot_be_is_refused(model, tmp_path, monkeypatch) -> None:
    crowd = Crowd(2, tmp_path, monkeypatch)
    animator = onetoall.load(model, device="cpu")
    for settings, words in (
        ({"cast": ["right"]}, "names no person and picture"),
        ({"cast": [f"right={tmp_path / 'none.png'}"]}, "does not exist"),
        ({"cast": [f"1={tmp_path / '1.png'}"], "align": "ref"}, "dancer's place"),
        ({"person": "1", "cast": [f"1={tmp_path / '1.png'}"]}, "are the same"),
    ):
        with pytest.raises(onetoall.OnetoallError, match=words):
            animator.animate(tmp_path / "0.png", crowd.poses, **settings)


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 3])
def test_crossing_puppets_keep_their_own_colours(tmp_path, monkeypatch, count) -> None:
    crowd = Crowd(count, tmp_path, monkeypatch)
    animator = onetoall.load("tiny", device="cpu")
    cast = [f"{number}={tmp_path / f'{number}.png'}" for number in range(1, count)]
    result = animator.animate(
        tmp_path / "0.png", crowd.poses, person="0", cast=cast, background="white", short_side=HEIGHT, steps=8
    )
    result.save(tmp_path / "out.mp4")
    assert list(tmp_path.glob("*.unfinished")) == []
    first, *_, last = result
    for number in range(count):
        for frame, place in ((first, crowd.others_away(number)[0]), (last, crowd.others_away(number)[-1])):
            apart = np.linalg.norm(frame[place].mean(axis=0) - crowd.colours, axis=-1)
            print(number, np.rint(apart))
            assert apart.argmin() == number
