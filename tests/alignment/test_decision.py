"""What `--align auto` decides, for shots cut out of the real poses: one table."""

import numpy as np
import pytest
from align_cases import person, real, without

from onetoall_cli.alignment import decide
from onetoall_cli.alignment.decision import parts_seen
from onetoall_cli.alignment.skeleton import NECK, with_neck
from onetoall_cli.pose import keypoints as kp

ANKLES, KNEES, HIPS = [kp.LEFT_ANKLE, kp.RIGHT_ANKLE], [kp.LEFT_KNEE, kp.RIGHT_KNEE], [kp.LEFT_HIP, kp.RIGHT_HIP]
SHOULDERS = [kp.LEFT_SHOULDER, kp.RIGHT_SHOULDER]
FACE_ROWS = range(kp.FACE.start, kp.FACE.stop)


def shot(name, cut, frame=0, share=0.9, aspect=9 / 16, side=1000):
    """A picture around one real body, as a camera would frame it: (keypoints (133, 3), (width, height)).

    Args:
        name: In poses_real.npz.
        cut: Where the picture ends below: "full" body, "knee", "half" body, "bust" or "head".
        frame: Of the dance.
        share: How much of the picture's height the body takes from crown to cut.
        aspect: Width over height of the picture.
        side: Height of the picture in pixels.
    """
    body = with_neck(person(real(name), frame))
    y = body[:, 1]
    hips, knees = y[HIPS].mean(), y[KNEES].mean()
    crown = y[kp.NOSE] - 0.8 * (y[NECK] - y[kp.NOSE])
    chin = y[kp.NOSE] + 0.45 * (y[NECK] - y[kp.NOSE])
    below = {
        "full": max(y[ANKLES]) + 0.1 * (max(y[ANKLES]) - knees),
        "knee": 0.3 * hips + 0.7 * knees,
        "half": 0.7 * hips + 0.3 * knees,
        "bust": 0.5 * (y[NECK] + hips),
        "head": min(0.5 * chin + 0.5 * min(y[SHOULDERS]), min(y[SHOULDERS]) - 1),
    }[cut]
    height = (below - crown) / share
    scale = side / height
    origin = np.array([body[NECK, 0] - aspect * height / 2, below - height])
    keypoints = body[: kp.COUNT].copy()
    keypoints[:, :2] = (keypoints[:, :2] - origin) * scale
    keypoints[:, 2] = 1.0  # what lies outside the picture is still guessed, as detectors do
    return keypoints, (round(aspect * side), side)


def changed(shot_, change):
    keypoints, size = shot_
    return change(keypoints.copy()), size


def big_head(keypoints):
    """Twice as large, on the same neck."""
    chin, rows = keypoints[kp.FACE.start + 8, :2].copy(), [*range(5), *FACE_ROWS]
    keypoints[rows, :2] = chin + 2 * (keypoints[rows, :2] - chin)
    return keypoints


def no_landmarks(keypoints):
    return without(keypoints, FACE_ROWS)


def from_behind(keypoints):
    return without(keypoints, [*range(3), *FACE_ROWS])


GIRL, GRANNY, STANDING, STYLISED = "dance_full", "dance_small", "ref_standing", "ref_half"
SAME = ("full", "full")  # the very frame
LIGHT = ("light", "full")  # of another person, whose head fits

TABLE = {
    # same framing
    "full body, another moment": (shot(GIRL, "full"), shot(GIRL, "full", 14), "ref", *LIGHT),
    "full body, another person": (shot(GRANNY, "full", 23), shot(GIRL, "full", 14), "ref", *LIGHT),
    "half body, another moment": (shot(GIRL, "half"), shot(GIRL, "half", 14), "ref", *LIGHT),
    "half body, another person": (shot(STANDING, "half"), shot(GRANNY, "half", 20), "ref", *LIGHT),
    "cut at the knee against the hip": (shot(STANDING, "half"), shot(GIRL, "knee", 5), "ref", *LIGHT),
    "bust, another moment": (shot(GIRL, "bust"), shot(GIRL, "bust", 14), "ref", *LIGHT),
    "head only, another moment": (shot(GIRL, "head"), shot(GIRL, "head", 2), "ref", *LIGHT),
    "a little smaller": (shot(GIRL, "full"), shot(GIRL, "full", share=0.7), "ref", *SAME),
    "a little larger": (shot(GIRL, "full", share=0.7), shot(GIRL, "full"), "ref", *SAME),
    "at another resolution": (shot(GIRL, "full"), shot(GIRL, "full", 14, side=320), "ref", *LIGHT),
    "a landscape driver": (shot(GIRL, "full"), shot(GIRL, "full", 14, aspect=16 / 9), "ref", *LIGHT),
    "a landscape reference": (shot(GIRL, "half", aspect=16 / 9), shot(GIRL, "half", 14, aspect=16 / 9), "ref", *LIGHT),
    # different framing
    "half body on full body": (shot(STANDING, "half"), shot(GIRL, "full", 5), "pose", *LIGHT),
    "full body on half body": (shot(GIRL, "full"), shot(STANDING, "half"), "pose", *LIGHT),
    "bust on full body": (shot(GIRL, "bust"), shot(GIRL, "full", 14), "pose", *LIGHT),
    "bust on half body": (shot(GIRL, "bust"), shot(GIRL, "half", 14), "pose", *LIGHT),
    "half body on bust": (shot(GIRL, "half"), shot(GIRL, "bust", 14), "pose", *LIGHT),
    "head on half body": (shot(GIRL, "head"), shot(GIRL, "half"), "pose", *SAME),
    "head on full body": (shot(GRANNY, "head", 20), shot(GRANNY, "full", 20), "pose", *SAME),
    # same parts, scale apart
    "full body, far away": (shot(GIRL, "full"), shot(GIRL, "full", 14, share=0.4), "pose", *LIGHT),
    "full body, far away reference": (shot(GIRL, "full", share=0.4), shot(GIRL, "full", 14), "pose", *LIGHT),
    "portrait reference, wide landscape driver": (
        shot(GIRL, "half"),
        shot(GIRL, "half", 14, share=0.5, aspect=16 / 9),
        "pose",
        *LIGHT,
    ),
    # faces and heads that do not fit
    "a stylised portrait": (shot(STYLISED, "half"), shot(GIRL, "half"), "ref", "light", "light"),
    "a big-headed figure": (changed(shot(GIRL, "full"), big_head), shot(GIRL, "full", 14), "ref", "light", "light"),
    "a big-headed driver": (shot(GIRL, "full"), changed(shot(GIRL, "full", 14), big_head), "ref", "light", "light"),
    "a big-headed bust on a full body": (
        changed(shot(GIRL, "bust"), big_head),
        shot(GIRL, "full", 14),
        "pose",
        "light",
        "light",
    ),
    "a figure without landmarks": (
        changed(shot(GIRL, "full"), no_landmarks),
        shot(GIRL, "full", 14),
        "ref",
        "light",
        "full",
    ),
    "a driver from behind": (shot(GIRL, "full"), changed(shot(GIRL, "full", 14), from_behind), "ref", *SAME),
    "a frame of the motion": (shot(GIRL, "full"), shot(GIRL, "full", side=320), "ref", *SAME),
}


@pytest.mark.parametrize("case", TABLE)
def test_auto_decides(case):
    (reference, size), (driver, driver_size), mode, face, head = TABLE[case]
    decision = decide(reference, size, driver[None], driver_size)
    assert (decision.mode, decision.face, decision.head) == (mode, face, head), decision


def test_a_choice_that_few_frames_agree_with_is_called_close():
    (here, size), (far, _) = shot(GIRL, "full"), shot(GIRL, "full", 14, share=0.5)
    near = shot(GIRL, "full", 14)[0]
    sure, close = (decide(here, size, np.stack([near] * 3 + [far] * count), size) for count in (0, 2))
    assert (sure.mode, sure.agreement) == (close.mode, 1.0) == ("ref", 1.0)
    assert close.agreement == pytest.approx(0.6)
    assert "60% of its frames" in close.why and "frames" not in sure.why


def test_the_reason_names_what_differs():
    (bust, size), (body, body_size) = shot(GIRL, "bust"), shot(GIRL, "full")
    assert decide(bust, size, body[None], body_size).why == (
        "the reference shows head and shoulders, the motion head, shoulders, hips and feet"
    )
    far, far_size = shot(GIRL, "full", share=0.45)
    assert "0.50 times as large" in decide(body, body_size, far[None], far_size).why


@pytest.mark.parametrize(
    ("cut", "parts"),
    [
        ("full", ("head", "shoulders", "hips", "feet")),
        ("knee", ("head", "shoulders", "hips")),
        ("half", ("head", "shoulders", "hips")),
        ("bust", ("head", "shoulders")),
        ("head", ("head",)),
    ],
)
def test_parts_outside_the_picture_are_not_seen_however_sure_the_detector_is(cut, parts):
    assert parts_seen(*shot(GIRL, cut)) == parts


def test_nothing_seen_is_said_so_and_does_not_fail():
    body, size = shot(GIRL, "full")
    decision = decide(np.zeros((133, 3)), (100, 100), body[None], size)
    assert decision.mode == "pose"
    assert "nothing of the body" in decision.why
