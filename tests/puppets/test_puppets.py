"""The puppet world: deterministic, disjoint splits, exact keypoints, pairs whose answer agrees with the reference."""

import cv2
import numpy as np
import pytest

from onetoall_cli.alignment import align
from onetoall_cli.pose import keypoints as kp
from onetoall_cli.puppets import sample_identity, sample_pair, sample_scene
from onetoall_cli.puppets import skeleton as sk
from onetoall_cli.puppets.canvas import Canvas, capsule
from onetoall_cli.puppets.dance import sample_motion
from onetoall_cli.puppets.identity import split_of
from onetoall_cli.puppets.render import HIDDEN, SEEN

SPLITS = ("train", "validation", "test")


def scene(seed: int = 3, **options):
    return sample_scene(**{"split": "test", "seed": seed, "width": 96, "height": 144, "frames": 4, **options})


def test_same_seed_gives_the_same_bytes() -> None:
    first, second = scene().film(), scene().film()
    assert first.frames.tobytes() == second.frames.tobytes()
    assert first.masks.tobytes() == second.masks.tobytes()
    assert first.poses.keypoints.tobytes() == second.poses.keypoints.tobytes()


def test_other_seeds_and_splits_give_other_puppets() -> None:
    pictures = {scene(seed, split=split).film().frames.tobytes() for seed in range(4) for split in SPLITS}
    assert len(pictures) == 12


def test_identities_of_the_splits_are_disjoint_by_construction() -> None:
    codes = {split: {sample_identity(split, seed).code for seed in range(60)} for split in SPLITS}
    for split, found in codes.items():
        assert all(split_of(code) == split for code in found)
    assert not codes["train"] & codes["test"]
    assert not codes["validation"] & (codes["train"] | codes["test"])


def test_motions_of_a_split_pass_only_through_key_poses_of_that_split() -> None:
    for split in SPLITS:
        for seed in range(20):
            motion = sample_motion(split, seed, frames=60)
            assert len(motion.codes) > 2
            assert motion.splits == {split}


def test_a_longer_motion_begins_as_the_shorter_one() -> None:
    short, long = sample_motion("train", 5, frames=20), sample_motion("train", 5, frames=50)
    np.testing.assert_allclose(long.directions[:20], short.directions)
    np.testing.assert_allclose(long.root[:20], short.root)


def test_motions_are_smooth_and_bones_have_unit_length() -> None:
    for seed in range(30):
        motion = sample_motion("train", seed, frames=64)
        np.testing.assert_allclose(np.linalg.norm(motion.directions, axis=-1), 1, atol=1e-9)
        step = np.linalg.norm(np.diff(motion.directions, axis=0), axis=-1)
        assert step.max() < 1.1, seed  # a bone never flips within a frame


def test_knees_and_elbows_bend_only_one_way() -> None:
    for seed in range(20):
        motion = sample_motion("train", seed, frames=64)
        bones = motion.directions
        across = bones[:, sk.HIPS]
        for side in (0, 1):
            forward = np.cross(bones[:, sk.SPINE], across)
            bend = bones[:, sk.THIGHS[side]] - bones[:, sk.SHINS[side]]  # points to where the knee points
            assert ((bend * forward).sum(axis=1) > -0.35).all()
            cosine = (bones[:, sk.UPPER_ARMS[side]] * bones[:, sk.FOREARMS[side]]).sum(axis=1)
            assert (cosine > -0.95).all()  # a forearm does not fold into its upper arm


def test_the_lowest_foot_stands_on_the_floor() -> None:
    joints = scene(frames=30).joints()
    feet = joints.keypoints[:, [*range(17, 23), kp.LEFT_ANKLE, kp.RIGHT_ANKLE], 1].max(axis=1)
    np.testing.assert_allclose(feet, 0, atol=1e-9)


def test_keypoints_lie_on_the_painted_puppet() -> None:
    arms = range(kp.LEFT_SHOULDER, kp.RIGHT_WRIST + 1)
    rows = [kp.NOSE, kp.LEFT_EYE, kp.RIGHT_EYE, *arms, kp.LEFT_KNEE, kp.RIGHT_KNEE]
    for seed in range(12):
        film = scene(seed, framing="full").film()
        for points, mask in zip(film.poses.keypoints[:, 0], film.masks, strict=True):
            seen = points[rows][points[rows, 2] > 0]
            x, y = seen[:, 0].astype(int), seen[:, 1].astype(int)
            assert (mask[y, x] > 0).all(), seed


def test_eyes_are_painted_where_their_keypoints_are() -> None:
    checked = 0
    for seed in range(40):
        shot = scene(seed, framing="bust", width=160, height=160, frames=1)
        look = shot.identity.look
        film = shot.film()
        points = film.poses.keypoints[0, 0]
        frontal = abs(float(shot.motion.head[0, 0])) < 0.35 and shot.motion.expression[0, 2] < 0.2
        if not frontal or look.glasses or (points[[kp.LEFT_EYE, kp.RIGHT_EYE], 2] < SEEN).any():
            continue
        for row in (kp.LEFT_EYE, kp.RIGHT_EYE):
            x, y = points[row, :2].astype(int)
            patch = film.frames[0, y - 1 : y + 2, x - 1 : x + 2].reshape(-1, 3).astype(int)
            assert patch.sum(axis=1).min() < 330, seed  # the pupil is dark on every skin
        checked += 1
    assert checked >= 5


def test_a_keypoint_outside_the_picture_has_score_zero_and_keeps_its_place() -> None:
    points = scene(framing="bust", frames=8).film().poses.keypoints[:, 0]
    below = points[:, [kp.LEFT_ANKLE, kp.RIGHT_ANKLE]]
    assert (below[..., 2] == 0).all()
    assert (below[..., 1] > 144).all()


def test_an_arm_behind_the_torso_is_hidden_and_a_covered_face_too() -> None:
    points = np.concatenate([scene(seed, frames=8).film().poses.keypoints[:, 0] for seed in range(12)])
    assert set(np.unique(points[..., 2])) == {0.0, HIDDEN, SEEN}
    assert (points[:, kp.LEFT_WRIST, 2] == HIDDEN).any() or (points[:, kp.RIGHT_WRIST, 2] == HIDDEN).any()
    assert (points[:, kp.FACE, 2] == HIDDEN).any()


def test_left_is_the_puppets_own_left() -> None:
    for seed in range(10):
        joints = scene(seed, frames=1).joints()
        if abs(joints.front[0, 2]) > 0.5:
            toward_left = joints.keypoints[0, kp.LEFT_SHOULDER, 0] - joints.keypoints[0, kp.RIGHT_SHOULDER, 0]
            assert toward_left * joints.front[0, 2] > 0


def test_clip_mask_covers_exactly_what_differs_from_the_backdrop() -> None:
    shot = scene(frames=1)
    film = shot.film()
    from onetoall_cli.puppets.backdrop import paint_backdrop

    behind = paint_backdrop(shot.backdrop, shot.camera, shot.width, shot.height)
    outside = film.masks[0] == 0
    np.testing.assert_array_equal(film.frames[0][outside], behind[outside])
    assert 0.02 < (film.masks[0] > 0).mean() < 0.9


@pytest.mark.parametrize("kind", ["misaligned", "transfer"])
def test_the_truth_continues_the_aligned_reference(kind) -> None:
    """Where the reference shows only backdrop, and the answer too, the two agree."""
    compared = 0
    for seed in range(12):
        pair = sample_pair(kind, "test", seed, width=128, height=192)
        reference, truth = pair.reference.film(), pair.truth()
        scale, x, y = pair.alignment()
        matrix = np.array([[scale, 0, x + (scale - 1) / 2], [0, scale, y + (scale - 1) / 2]])
        shrunk = reference.frames[0]
        if scale < 1:
            shrunk = cv2.GaussianBlur(shrunk, (0, 0), max(0.01, 0.5 / scale - 0.4))
        moved = cv2.warpAffine(shrunk, matrix, (128, 192), flags=cv2.INTER_LINEAR)
        empty = cv2.warpAffine(255 - reference.masks[0], matrix, (128, 192), flags=cv2.INTER_LINEAR) == 255
        both = cv2.erode((empty & (truth.masks[0] == 0)).astype(np.uint8), np.ones((5, 5))).astype(bool)
        if both.sum() > 150:
            error = np.abs(moved[both].astype(int) - truth.frames[0][both].astype(int)).mean()
            assert error < 12, (seed, error)
            compared += 1
    assert compared >= 4


def test_the_truth_can_follow_the_alignment_that_was_really_used() -> None:
    compared = 0
    for seed in range(10):
        pair = sample_pair("misaligned", "test", seed, width=128, height=192, frames=9)
        reference = pair.reference.film()
        aligned = align(reference.frames[0], reference.poses, pair.driver(), width=128, height=192, mode="pose")
        meta = aligned.meta
        nominal = pair.alignment(meta["anchor"])
        assert meta["scale"] == pytest.approx(nominal[0], rel=0.35)  # a turned body measures otherwise
        truth = pair.truth((meta["scale"], *meta["shift"]))
        matrix = np.array([[meta["scale"], 0, meta["shift"][0]], [0, meta["scale"], meta["shift"][1]]])
        empty = cv2.warpAffine(255 - reference.masks[0], matrix, (128, 192)) == 255
        both = cv2.erode((empty & ~aligned.mask & (truth.masks[0] == 0)).astype(np.uint8), np.ones((5, 5))) > 0
        if both.sum() > 100:
            assert np.abs(aligned.reference[both].astype(int) - truth.frames[0][both].astype(int)).mean() < 12, seed
            compared += 1
    assert compared >= 3


def test_misaligned_pairs_have_a_nearer_reference_and_another_driving_face() -> None:
    for seed in range(8):
        pair = sample_pair("misaligned", "test", seed, width=96, height=144, frames=3)
        scale, _, _ = pair.alignment()
        assert scale < 0.85
        driver, own = pair.driver().keypoints[:, 0], pair.truth().poses.keypoints[:, 0]
        np.testing.assert_allclose(driver[:, 5:17, :2], own[:, 5:17, :2], atol=1e-3)
        face = np.abs(driver[:, kp.FACE, :2] - own[:, kp.FACE, :2])
        assert face.max() > 0.3
        assert pair.reference.identity == pair.target.identity


def test_aligned_pairs_share_the_camera() -> None:
    pair = sample_pair("aligned", "validation", 2, width=96, height=144, frames=5)
    assert pair.reference.camera == pair.target.camera
    assert pair.alignment() == (1.0, 0.0, 0.0)
    driver, own = pair.driver().keypoints, pair.truth().poses.keypoints
    np.testing.assert_allclose(driver[..., :2], own[..., :2])


def test_unknown_splits_are_refused() -> None:
    with pytest.raises(ValueError, match="no split"):
        sample_identity("holdout", 1)  # type: ignore[arg-type]


def test_capsule_outline_encloses_both_discs() -> None:
    a, b = np.array([10.0, 12.0]), np.array([40.0, 30.0])
    for radii in ((8.0, 3.0), (3.0, 8.0), (5.0, 5.0)):
        outline = capsule(a, b, *radii).astype(np.float32)
        for centre, radius in ((a, radii[0]), (b, radii[1])):
            inner = cv2.pointPolygonTest(outline, (float(centre[0]), float(centre[1])), True)
            assert inner == pytest.approx(radius, rel=0.06)


def test_painting_is_anti_aliased_and_in_the_right_place() -> None:
    canvas = Canvas(20, 10, supersample=4)
    canvas.fill(np.array([[5.5, 2.0], [15.0, 2.0], [15.0, 8.0], [5.5, 8.0]]), (200, 100, 50), 1, convex=True)
    picture, coverage = canvas.over(np.zeros((10, 20, 3), np.uint8))
    assert tuple(picture[5, 10]) == (200, 100, 50)
    assert coverage[5, 5] == pytest.approx(128, abs=40)  # half of the pixel
    assert coverage[5, 4] == 0
    assert coverage[1, 10] == 0
    assert list(canvas.owner(np.array([[10.0, 5.0], [1.0, 1.0], [-5.0, 3.0]]))) == [1, 0, 0]
