"""Characters over backgrounds: colours without fringes, nearer over farther, light, and scenes without their dancer."""

import numpy as np
import pytest

from onetoall_cli.alignment.similarity import Similarity
from onetoall_cli.errors import BadInput
from onetoall_cli.media import video_of_frames, write_picture
from onetoall_cli.pose import PoseSequence
from onetoall_cli.puppets import sample_scene
from onetoall_cli.puppets.backdrop import paint_backdrop
from onetoall_cli.scene import compositing
from onetoall_cli.scene.backgrounds import EmptyScene, Film, Plain, open_background, shown_at
from onetoall_cli.scene.compositing import Layer, composed, pure_colours

SIZE = 48, 64  # width, height


class Given:
    """A matting backend that knows the mattes."""

    def __init__(self, mattes) -> None:
        self._mattes = list(mattes)

    def mattes(self, frames, poses):
        matte = self._mattes.pop(0)
        return ((frame, matte) for frame in frames)


@pytest.fixture
def mattes(monkeypatch):
    """Lets a test say the mattes of the layers, in their order."""

    def say(*mattes) -> None:
        given = Given(mattes)
        monkeypatch.setattr(compositing, "open_matter", lambda: given)

    return say


def standing(feet: float, frames: int = 1) -> PoseSequence:
    points = np.zeros((frames, 1, 133, 3), np.float32)
    points[:, 0, 0] = (24, feet - 20, 1)
    points[:, 0, 15] = (24, feet, 1)
    return PoseSequence(points, *SIZE)


def flat(*colour: int) -> np.ndarray:
    return np.full((SIZE[1], SIZE[0], 3), colour, np.uint8)


def boxed(left: int, right: int) -> np.ndarray:
    matte = np.zeros((SIZE[1], SIZE[0]), np.float32)
    matte[:, left:right] = 1
    return matte


def test_a_lone_character_on_its_own_background_stays_bit_for_bit(mattes) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (SIZE[1], SIZE[0], 3), np.uint8)
    mattes(np.random.default_rng(1).random(SIZE[::-1], np.float32))
    (shot,) = composed([Layer([frame], standing(60))], *SIZE, None, relight=False)
    assert np.array_equal(shot.picture, frame)
    assert shot.cut_out().shape == (SIZE[1], SIZE[0], 4)


def test_lower_feet_are_nearer_whatever_the_order(mattes) -> None:
    red, blue = flat(255, 0, 0), flat(0, 0, 255)
    for order in ((0, 1), (1, 0)):
        layers = [Layer([red], standing(60)), Layer([blue], standing(40))]
        mattes(*([boxed(0, 32), boxed(16, 48)][which] for which in order))
        (shot,) = composed([layers[which] for which in order], *SIZE, [flat(0, 255, 0)], relight=False)
        assert shot.picture[30, 24].tolist() == [255, 0, 0], "where both are, the nearer"
        assert shot.picture[30, 40].tolist() == [0, 0, 255]
        assert shot.matte.min() == 255


def test_a_character_lands_where_its_place_says(mattes) -> None:
    mattes(boxed(0, 48))
    layer = Layer([flat(255, 0, 0)], standing(60), Similarity(0.5, 10, 20))
    (shot,) = composed([layer], *SIZE, [flat(0, 0, 0)], relight=False)
    found = np.argwhere(shot.matte > 128)
    assert found.min(axis=0).tolist() == [20, 10] and found.max(axis=0).tolist() == [51, 33]


def test_mixed_pixels_give_up_the_colour_behind() -> None:
    matte = np.zeros((40, 40), np.float32)
    matte[:, :18], matte[:, 18:22] = 1, 0.5
    frame = np.rint(matte[..., None] * [200, 40, 40] + (1 - matte[..., None]) * [0, 255, 0]).astype(np.uint8)
    fringe = pure_colours(frame, matte)[20, 19]
    assert np.abs(fringe - [200, 40, 40]).max() < 25, "half of it was green"


def test_light_goes_towards_the_scene_s_and_not_beyond_its_limit(mattes) -> None:
    mattes(boxed(16, 32), boxed(16, 32))
    frame = flat(120, 120, 120)
    frame[:, 16:32] = (150, 80, 80)
    lit, dark = (
        next(composed([Layer([frame], standing(60))], *SIZE, [flat(*scene)], relight=True)).picture[30, 24].astype(int)
        for scene in ((255, 240, 200), (10, 10, 30))
    )
    assert lit.sum() > 310 + 30 and dark.sum() < 310 - 30
    assert lit[0] - lit[2] > 30 and dark[0] - dark[2] > 30, "a red figure stays red"


def test_a_video_behind_begins_anew_and_a_still_stays() -> None:
    film = video_of_frames(np.stack([flat(value, 0, 0) for value in (10, 20, 30)]), 10)
    clock = [0.0, 0.1, 0.2, 0.3, 0.65]
    assert [frame[0, 0, 0] for frame in shown_at(film, clock, again=True)] == [10, 20, 30, 10, 10]
    assert [frame[0, 0, 0] for frame in shown_at(film, clock)] == [10, 20, 30, 30, 30]
    still = video_of_frames(flat(7, 7, 7)[None], 25)
    (last,) = shown_at(still, [99.0], again=True)
    assert last[0, 0, 0] == 7


def test_backgrounds_are_colours_or_files(tmp_path) -> None:
    assert isinstance(green := open_background("#00ff00"), Plain) and green.colour == (0, 255, 0)
    assert open_background("white") == Plain((255, 255, 255))
    wide = np.zeros((20, 80, 3), np.uint8)
    wide[:, 30:50] = 200
    write_picture(tmp_path / "wide.png", wide)
    film = open_background(str(tmp_path / "wide.png"))
    assert isinstance(film, Film)
    (frame,) = film.frames(40, 40, [0.0])
    assert frame.shape == (40, 40, 3) and frame.min() > 150, "its middle covers the frame"
    with pytest.raises(BadInput, match=r"nor a colour, nor a file"):
        open_background("no-such-thing")


@pytest.mark.slow
def test_a_dancer_is_taken_out_of_the_scene() -> None:
    scene = sample_scene("validation", 4, width=96, height=144, frames=24, framing="full")
    clip = scene.film()
    behind = paint_backdrop(scene.backdrop, scene.camera, 96, 144).astype(int)
    clock = list(map(float, clip.poses.clock()))
    empty = np.stack(list(EmptyScene(video_of_frames(clip.frames, 16), [clip.poses]).frames(96, 144, clock)))
    before, after = (np.abs(each - behind).mean() for each in (clip.frames.astype(int), empty.astype(int)))
    print(f"mean difference from the true backdrop: {before:.2f} before, {after:.2f} after")
    assert after < before / 3
