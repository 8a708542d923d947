"""Face region enhancement: factors as in the recipe, only the face (and head) changes, and the dim signal tells."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from onetoall_cli.pose import PoseSequence
from onetoall_cli.pose import keypoints as kp
from onetoall_cli.puppets import sample_scene
from onetoall_cli.training.enhancement import NOSE_TIP, PosePool, enhance, face_factors, with_face, with_head
from onetoall_cli.training.sources import puppet_pool

BODY = [*range(kp.LEFT_SHOULDER, kp.FACE.start), *range(kp.LEFT_HAND.start, kp.COUNT)]


@pytest.fixture(scope="module")
def motion() -> PoseSequence:
    return sample_scene("train", 4, width=128, height=192, frames=6, framing="full").film(supersample=1).poses


@pytest.fixture(scope="module")
def pool() -> PosePool:
    return puppet_pool("train", count=8)


def stretched(points: np.ndarray, across: float, down: float) -> np.ndarray:
    """A person whose face is wider and longer."""
    other = points.copy()
    nose = other[kp.FACE][NOSE_TIP, :2].copy()
    other[kp.FACE, :2] = nose + (other[kp.FACE, :2] - nose) * (across, down)
    other[kp.FACE, 2] = 1.0
    return other


def upright(points: np.ndarray) -> np.ndarray:
    """The person with its face landmarks seen and its eyes level, so that widths are plain."""
    points = points.copy()
    points[kp.FACE, 2] = 1.0
    face = points[kp.FACE]
    face[45, 1] = face[36, 1]
    face[27, 0] = face[8, 0]
    return points


def test_factors_go_towards_the_other_face_with_strength_half_to_one(motion) -> None:
    own = upright(motion.keypoints[0, 0])
    other = upright(stretched(own, 1.6, 0.6))
    factors = face_factors(own, other, np.random.default_rng(0), frames=800)  # drawn anew for each frame
    assert factors[:, 0].min() == pytest.approx(1.3, abs=0.03) and factors[:, 0].max() == pytest.approx(1.6, abs=0.03)
    assert factors[:, 1].min() == pytest.approx(0.6, abs=0.03) and factors[:, 1].max() == pytest.approx(0.8, abs=0.03)
    strength = (factors - 1) / np.array([0.6, -0.4])
    np.testing.assert_allclose(strength[:, 0], strength[:, 1], atol=0.02)  # one strength for both directions


def test_a_factor_near_one_is_pushed_out_nine_times_of_ten(motion) -> None:
    own = upright(motion.keypoints[0, 0])
    factors = face_factors(own, own, np.random.default_rng(0), frames=1500)
    assert (factors == 1.0).mean() == pytest.approx(0.1, abs=0.02)
    pushed = factors[factors != 1.0]
    assert pushed.min() == pytest.approx(1.1, abs=0.005) and pushed.max() == pytest.approx(1.2, abs=0.005)


def test_landmarks_are_scaled_about_the_nose_and_the_jaw_is_borrowed(motion) -> None:
    own = motion.keypoints
    other = stretched(upright(own[0, 0]), 2.0, 2.0)
    changed = with_face(own, other, np.tile((1.5, 0.7), (len(own), 1)))
    before, after = own[:, :, kp.FACE, :2], changed[:, :, kp.FACE, :2]
    np.testing.assert_allclose(after[:, :, NOSE_TIP], before[:, :, NOSE_TIP], atol=1e-4)
    inner = slice(17, 68)
    offset_before = before[:, :, inner] - before[:, :, NOSE_TIP : NOSE_TIP + 1]
    offset_after = after[:, :, inner] - after[:, :, NOSE_TIP : NOSE_TIP + 1]
    np.testing.assert_allclose(offset_after, offset_before * (1.5, 0.7), atol=1e-3)
    jaw = np.linalg.norm(after[0, 0, :17] - after[0, 0, NOSE_TIP], axis=1)
    borrowed = np.linalg.norm(other[kp.FACE][:17, :2] - other[kp.FACE][NOSE_TIP, :2], axis=1)
    np.testing.assert_allclose(jaw, borrowed, rtol=1e-3)
    np.testing.assert_array_equal(changed[:, :, BODY], own[:, :, BODY])


def test_the_head_is_rescaled_within_limits_and_the_face_moves_along(motion) -> None:
    own = motion.keypoints
    other = own[0, 0].copy()
    neck = other[[kp.LEFT_SHOULDER, kp.RIGHT_SHOULDER], :2].mean(axis=0)
    other[:5, :2] = neck + (other[:5, :2] - neck) * 10.0
    changed = with_head(own, other, strength=0.8)
    necks = own[:, 0, [kp.LEFT_SHOULDER, kp.RIGHT_SHOULDER], :2].mean(axis=1)
    before, after = own[:, 0, kp.NOSE, :2] - necks, changed[:, 0, kp.NOSE, :2] - necks
    np.testing.assert_allclose(after, before * 2.0, atol=1e-3)  # 8.2 clipped to 2
    faces = [points[:, 0, kp.FACE, :2] - points[:, 0, kp.NOSE, None, :2] for points in (changed, own)]
    np.testing.assert_allclose(faces[0], faces[1], atol=1e-3)
    np.testing.assert_array_equal(changed[:, :, BODY], own[:, :, BODY])


def test_a_strength_of_zero_changes_nothing(motion) -> None:
    other = motion.keypoints[0, 0] * np.array([2.0, 2.0, 1.0])
    np.testing.assert_allclose(with_head(motion.keypoints, other, 0.0), motion.keypoints, atol=1e-4)


def test_styles_and_changes_occur_as_often_as_the_recipe_says(motion, pool) -> None:
    rng = np.random.default_rng(0)
    count, changed, face_light, head_light, off = 1200, 0, 0, 0, 0
    for _ in range(count):
        result = enhance(motion, pool, rng, probability=0.7, hide=0.2)
        moved = not np.array_equal(result.motion.keypoints, motion.keypoints)
        np.testing.assert_array_equal(result.motion.keypoints[:, :, BODY], motion.keypoints[:, :, BODY])
        if result.face == "full":
            assert not moved and result.head == "full"  # an undimmed face can be trusted
        changed += moved
        face_light += result.face == "light"
        head_light += result.head == "light"
        off += result.face == "off"
    either = 0.7 * (1 - 0.3 * 0.6)
    assert off / count == pytest.approx(0.2, abs=0.035)
    assert head_light / count == pytest.approx(0.7 * 0.4, abs=0.04)
    assert face_light / count == pytest.approx(either * 0.8, abs=0.04)
    assert changed / count == pytest.approx(either, abs=0.05)


def test_without_a_pool_or_probability_the_motion_is_untouched(motion, pool) -> None:
    rng = np.random.default_rng(0)
    for options in ((None, 1.0), (pool, 0.0)):
        result = enhance(motion, options[0], rng, probability=options[1], hide=0.2)
        assert result.motion.keypoints is motion.keypoints or np.array_equal(result.motion.keypoints, motion.keypoints)
        assert result.face in ("full", "off")


def test_no_face_is_hidden_where_hiding_is_off(motion, pool) -> None:
    rng = np.random.default_rng(0)
    assert {enhance(motion, pool, rng, probability=0.0, hide=0.0).face for _ in range(60)} == {"full"}


def test_the_pool_prefers_its_motions_orientation_and_fits_the_size(motion) -> None:
    class First:
        def integers(self, count: int) -> int:
            self.count = count
            return 0

    portrait, landscape = motion.frame(0), replace(motion.frame(0), width=300, height=100)
    double = replace(portrait, keypoints=portrait.keypoints * np.array([2, 2, 1]), width=256, height=384)
    rng = First()
    drawn = PosePool([landscape, double, double]).draw(motion, rng)  # type: ignore[arg-type]
    assert rng.count == 2
    np.testing.assert_allclose(drawn[:, :2], motion.keypoints[0, 0, :, :2], rtol=1e-4)
    assert PosePool([landscape]).draw(motion, SimpleNamespace(integers=lambda n: 0)).shape == (133, 3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least one"):
        PosePool([])
