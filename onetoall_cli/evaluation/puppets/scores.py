"""All measures of one result for one test case."""

import numpy as np
from numpy.typing import NDArray

from onetoall_cli.evaluation import metrics
from onetoall_cli.evaluation.puppets.cases import Case
from onetoall_cli.evaluation.puppets.foreground import differing_figure, found_figure, true_figure
from onetoall_cli.pose import keypoints as kp
from onetoall_cli.puppets.render import SEEN

Scores = dict[str, float]

# Elbows, wrists, knees and ankles, and the nose for the head.
JOINTS = (kp.NOSE, *range(kp.LEFT_ELBOW, kp.RIGHT_WRIST + 1), *range(kp.LEFT_KNEE, kp.RIGHT_ANKLE + 1))
# Radius of a joint's patch and of the search for it, parts of the puppet's height.
_PATCH, _REACH = 0.05, 0.075
_SMALLEST_FACE = 6  # px


def score(result: NDArray[np.uint8], case: Case) -> Scores:
    """Measure a result (T, H, W, 3) against the case's truth.

    Returns:
        `psnr` in dB; `ssim`; `iou` of the puppet, and `iou_difference` of all that differs from the backdrop;
        `joint_px` and `joint_percent` (of the puppet's height), the mean error of the visible joints;
        `shown_colour` and `unseen_colour`, percent of the range, over clothes and hair whose colour the reference shows
        and does not show; `face_psnr` in dB inside the face's box; `own_face`, by how many dB that box is nearer to the
        puppet with its own face than with the driver's. NaN where there is nothing to measure.
    """
    truth = case.truth.frames
    boxes = face_boxes(case.truth.poses.keypoints[:, 0])
    joints = _joint_errors(result, case)
    differing, figure = differing_figure(result, case), true_figure(case)
    other_face = case.with_driver_face
    own_face = float("nan") if other_face is None else metrics.nearer_by(result, truth, other_face, boxes)
    return {
        "psnr": metrics.psnr(result, truth),
        "ssim": metrics.ssim(result, truth),
        "iou": metrics.overlap(found_figure(result, differing), figure),
        "iou_difference": metrics.overlap(differing, figure),
        "joint_px": joints,
        "joint_percent": joints / case.height * 100,
        "shown_colour": _colour_error(result, case, shown=True),
        "unseen_colour": _colour_error(result, case, shown=False),
        "face_psnr": metrics.psnr_within(result, truth, boxes),
        "own_face": own_face,
    }


def face_boxes(keypoints: NDArray) -> list[metrics.Box | None]:
    """The box around the face's landmarks in each frame of keypoints (T, 133, 3); None where hidden or too small."""
    boxes: list[metrics.Box | None] = []
    for face in keypoints[:, kp.FACE]:
        (left, top), (right, bottom) = np.floor(face[:, :2].min(axis=0)), np.ceil(face[:, :2].max(axis=0))
        large = min(right - left, bottom - top) >= _SMALLEST_FACE
        seen = (face[:, 2] >= SEEN).mean() > 0.5 and (face[:, 2] > 0).all()  # most landmarks visible, none outside
        boxes.append((int(left), int(top), int(right), int(bottom)) if large and seen else None)
    return boxes


def _joint_errors(result: NDArray[np.uint8], case: Case) -> float:
    radius, reach = round(_PATCH * case.height), round(_REACH * case.height)
    errors = []
    for made, true, points in zip(result, case.truth.frames, case.truth.poses.keypoints[:, 0], strict=True):
        seen = points[list(JOINTS)]
        seen = seen[seen[:, 2] >= SEEN, :2]
        errors += list(metrics.joint_errors(made, true, seen, radius, reach))
    return float(np.mean(errors)) if errors else float("nan")


def _colour_error(result: NDArray[np.uint8], case: Case, *, shown: bool) -> float:
    """The mean over the regions whose colour the reference shows, or does not show."""
    regions = [pixels for name, pixels in case.regions.items() if (name in case.shown) == shown]
    errors = np.array([metrics.colour_error(result, case.truth.frames, pixels) for pixels in regions])
    errors = errors[~np.isnan(errors)]
    return float(errors.mean()) if len(errors) else float("nan")
