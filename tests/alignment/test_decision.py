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
    for rows in (range(1, 5), FACE_ROWS):
        keypoints[list(rows), :2] = keypoints[kp.NOSE, :2] + 2 * (keypoints[list(rows), :2] - keypoints[kp.NOSE, :2])
    return keypoints


def wide_face(keypoints):
    keypoints[kp.FACE, 0] = keypoints[kp.NOSE, 0] + 1.5 * (keypoints[kp.FACE, 0] - keypoints[kp.NOSE, 0])
    return keypoints


def no_landmarks(keypoints):
    return without(keypoints, FACE_ROWS)


def from_behind(keypoints):
    return without(keypoints, [*range(3), *FACE_ROWS])


GIRL, GRANNY, STANDING, STYLISED = "dance_full", "dance_small", "ref_standing", "ref_half"
FULL = ("full", "full")

TABLE = {
    # same framing
    "full body, another moment": (shot(GIRL, "full"), shot(GIRL, "full", 14), "ref", *FULL),
    "full body, another person": (shot(GRANNY, "full", 23), shot(GIRL, "full", 14), "ref", *FULL),
    "half body, another moment": (shot(GIRL, "half"), shot(GIRL, "half", 14), "ref", *FULL),
    "half body, another person": (shot(STANDING, "half"), shot(GRANNY, "half", 20), "ref", *FULL),
    "cut at the knee against the hip": (shot(STANDING, "half"), shot(GIRL, "knee", 5), "ref", *FULL),
    "bust, another moment": (shot(GIRL, "bust"), shot(GIRL, "bust", 14), "ref", *FULL),
    "head only, another moment": (shot(GIRL, "head"), shot(GIRL, "head", 2), "ref", *FULL),
    "a little smaller": (shot(GIRL, "full"), shot(GIRL, "full", share=0.7), "ref", *FULL),
    "a little larger": (shot(GIRL, "full", share=0.7), shot(GIRL, "full"), "ref", *FULL),
    "at another resolution": (shot(GIRL, "full"), shot(GIRL, "full", 14, side=320), "ref", *FULL),
    "a landscape driver": (shot(GIRL, "full"), shot(GIRL, "full", 14, aspect=16 / 9), "ref", *FULL),
    "a landscape reference": (shot(GIRL, "half", aspect=16 / 9), shot(GIRL, "half", 14, aspect=16 / 9), "ref", *FULL),
    # different framing
    "half body on full body": (shot(STANDING, "half"), shot(GIRL, "full", 5), "pose", *FULL),
    "full body on half body": (shot(GIRL, "full"), shot(STANDING, "half"), "pose", *FULL),
    "bust on full body": (shot(GIRL, "bust"), shot(GIRL, "full", 14), "pose", *FULL),
    "bust on half body": (shot(GIRL, "bust"), shot(GIRL, "half", 14), "pose", *FULL),
    "half body on bust": (shot(GIRL, "half"), shot(GIRL, "bust", 14), "pose", *FULL),
    "head on half body": (shot(GIRL, "head"), shot(GIRL, "half"), "pose", *FULL),
    "head on full body": (shot(GRANNY, "head", 20), shot(GRANNY, "full", 20), "pose", *FULL),
    # same parts, scale apart
    "full body, far away": (shot(GIRL, "full"), shot(GIRL, "full", 14, share=0.4), "pose", *FULL),
    "full body, far away reference": (shot(GIRL, "full", share=0.4), shot(GIRL, "full", 14), "pose", *FULL),
    "portrait reference, wide landscape driver": (
        shot(GIRL, "half"),
        shot(GIRL, "half", 14, share=0.5, aspect=16 / 9),
        "pose",
        *FULL,
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
    "a broad face": (changed(shot(GIRL, "half"), wide_face), shot(GIRL, "half", 14), "ref", "light", "full"),
    "a figure without landmarks": (
        changed(shot(GIRL, "full"), no_landmarks),
        shot(GIRL, "full", 14),
        "ref",
        "light",
        "full",
    ),
    "a driver from behind": (shot(GIRL, "full"), changed(shot(GIRL, "full", 14), from_behind), "ref", *FULL),
}


@pytest.mark.parametrize("case", TABLE)
def test_auto_decides(case):
    (reference, size), (driver, driver_size), mode, face, head = TABLE[case]
    decision = decide(reference, size, driver, driver_size)
    assert (decision.mode, decision.face, decision.head) == (mode, face, head), decision


def test_the_reason_names_what_differs():
    (bust, size), (body, body_size) = shot(GIRL, "bust"), shot(GIRL, "full")
    assert decide(bust, size, body, body_size).why == (
        "the reference shows head and shoulders, the motion head, shoulders, hips and feet"
    )
    far, far_size = shot(GIRL, "full", share=0.45)
    assert "0.50 times as large" in decide(body, body_size, far, far_size).why


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
    decision = decide(np.zeros((133, 3)), (100, 100), *shot(GIRL, "full"))
    assert decision.mode == "pose"
    assert "nothing of the body" in decision.why
