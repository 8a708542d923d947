"""Alignment of a reference and a motion, step by step.

Both are first mapped into one plane: the driver's frame in "pose" mode, the reference picture otherwise. Then one map
from that plane to the output canvas is chosen and applied to both.
"""

from dataclasses import dataclass, replace
from math import isnan
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from onetoall_cli.alignment.anchor import PIN_NAMES, Anchor, check_people, choose_anchor
from onetoall_cli.alignment.canvas import Box, Fit, cover, movement_box, union, view
from onetoall_cli.alignment.conditioning import Conditioning
from onetoall_cli.alignment.decision import Decision, decide
from onetoall_cli.alignment.hat import hat_box
from onetoall_cli.alignment.retargeting import retarget
from onetoall_cli.alignment.similarity import Similarity
from onetoall_cli.alignment.translation import BodyScale, height_scale, lay_over, place
from onetoall_cli.errors import BadInput
from onetoall_cli.pose import PoseSequence
from onetoall_cli.pose.cropping import on_canvas
from onetoall_cli.pose.drawing import Face, Head

Mode = Literal["auto", "none", "pose", "ref"]


@dataclass(frozen=True)
class _Match:
    """Reference and driver matched at the anchor: the decisions that follow from it."""

    anchor: Anchor
    mode: Literal["pose", "ref"]  # as asked, or as decided
    scale: BodyScale
    over: Similarity  # reference pixels -> driver pixels
    decision: Decision


@dataclass(frozen=True)
class _Plane:
    """Reference and motion in one plane."""

    reference: Similarity  # reference pixels -> plane
    driver: Similarity  # driver pixels -> plane; what the motion as a whole went through
    keypoints: NDArray  # the motion in the plane, (frames, 133, 3)
    movement: Box | None  # the body's box over all frames
    shown: dict[Fit, Box]  # the box that each fit shows


def align(
    reference: NDArray[np.uint8],
    reference_pose: PoseSequence,
    motion: PoseSequence,
    *,
    width: int,
    height: int,
    mode: Mode = "auto",
    anchor: int | None = None,
    fit: Fit = "crop",
    face: Literal["auto"] | Face = "auto",
    head: Literal["auto"] | Head = "auto",
    canvas_short_side: int = 2160,
) -> Conditioning:
    """Align a reference and a motion: make the network's input.

    Args:
        reference: The reference picture, uint8 (h, w, 3) RGB.
        reference_pose: One frame of one person, in pixels of `reference` (or of another size of it).
        motion: One person's motion, in pixels of its own frame.
        width: Output width in pixels, from `working_size`.
        height: Output height in pixels.
        mode: "pose": the reference is scaled and moved onto the motion, and pixels it does not cover are unknown.
            "ref": the reference stays, and the motion gets its proportions and place. "none": neither changes; the
            driver's frame covers the reference's. "auto": "ref" for the same framing, else "pose" (see `decide`).
        anchor: The frame of the motion that is matched with the reference; None chooses it.
        fit: The part of the driver's frame ("pose" mode) or of the reference picture (other modes) on the canvas.
            "crop": it covers the canvas, and its middle is shown unless the body is elsewhere. "pad": all of it.
            "motion": the smallest part with the whole movement (and, except in "pose" mode, the reference picture).
            In "pose" mode "pad" and "motion" make room for what towers above the reference's head.
        face: How to draw the driver's face; "auto" decides by the fit to the reference ("none" mode: "full").
        head: How to draw the driver's head; "auto" as for `face`.
        canvas_short_side: Short side of the canvas that poses are drawn on before they are shrunk.

    Returns:
        The conditioning. Its `meta` holds: `mode`, `requested_mode`, `why`; `anchor` (frame or None), `anchor_pin`,
        `anchor_why`; `scale` and `shift` (reference picture to canvas, px) and `motion_scale`, `motion_shift` (driver
        frame to canvas; in "ref" mode the body's factor, limbs have their own); `body_ratio` (driver over reference)
        and `body_measure` at the anchor, `framing_ratio` (driver over reference, each in its frame, over the motion),
        `agreement` (share of frames that alone would give the mode), `warning` (a sentence, or empty); `fit`, `face`,
        `head`, `why_style`; `unknown` (share of the canvas, 0..1); `reference_size`, `motion_size`, `size` (width,
        height).

    Raises:
        BadInput: The reference or the motion shows no person, they share no point to align, the anchor does not exist,
            the pose belongs to another picture, or the reference would lie outside the output.
    """
    width, height = int(width), int(height)  # numpy integers cannot be written as JSON
    pose = on_canvas(reference_pose.frame(0), reference.shape[1], reference.shape[0], "The reference pose")
    check_people(pose.keypoints[0, 0], motion.keypoints[:, 0])
    matched = None if mode == "none" else _matched(pose, motion, mode, anchor)
    if matched is None:
        plane = _untouched(pose, motion)
    elif matched.mode == "pose":
        plane = _on_the_motion(reference, pose, motion, matched)
    else:
        plane = _on_the_reference(pose, motion, matched)
    to_canvas = view(fit, plane.shown[fit], plane.movement, width, height)
    where = plane.reference.then(to_canvas)
    placed = place(reference, pose.keypoints[0, 0], where, width, height, canvas_short_side)
    if placed.mask.all():
        raise BadInput(
            "The reference lies outside the output frame, as the person does at the anchor frame.",
            "Choose --fit motion or pad, another --anchor, or another output size.",
        )
    face_style: Face = face if face != "auto" else matched.decision.face if matched else "full"
    head_style: Head = head if head != "auto" else matched.decision.head if matched else "full"
    return Conditioning(
        reference=placed.picture,
        mask=placed.mask,
        reference_pose=placed.pose,
        motion=replace(motion, keypoints=to_canvas.keypoints(plane.keypoints)[:, None], width=width, height=height),
        face=face_style,
        head=head_style,
        canvas_short_side=canvas_short_side,
        meta={
            **_reasons(mode, matched, face_style, head_style),
            **_numbers("", where),
            **_numbers("motion_", plane.driver.then(to_canvas)),
            "fit": fit,
            "face": face_style,
            "head": head_style,
            "unknown": float(placed.mask.mean()),
            "reference_size": [pose.width, pose.height],
            "motion_size": [motion.width, motion.height],
            "size": [width, height],
        },
    )


def _matched(
    pose: PoseSequence, motion: PoseSequence, mode: Literal["auto", "pose", "ref"], wanted: int | None
) -> _Match:
    reference = pose.keypoints[0, 0]
    anchor = choose_anchor(reference, motion, wanted)
    driver = motion.keypoints[anchor.frame, 0]
    frames, sizes = motion.keypoints[:, 0], ((pose.width, pose.height), (motion.width, motion.height))
    decision = decide(reference, sizes[0], frames, sizes[1], anchor.frame)
    chosen = decision.mode if mode == "auto" else mode
    scale = height_scale(reference, driver)
    return _Match(anchor, chosen, scale, lay_over(reference, driver, anchor.pin, scale.ratio), decision)


def _on_the_motion(reference: NDArray[np.uint8], pose: PoseSequence, motion: PoseSequence, matched: _Match) -> _Plane:
    """The plane of "pose" mode: the driver's frame, with the reference laid over it."""
    keypoints, frame = motion.keypoints[:, 0], _frame(motion)
    movement = movement_box(keypoints)
    hat = hat_box(reference, pose.keypoints[0, 0], matched.scale.ratio, keypoints)
    shown: dict[Fit, Box] = {"crop": frame, "pad": union(frame, hat), "motion": union(movement or frame, hat)}
    return _Plane(matched.over, Similarity(), keypoints, movement, shown)


def _on_the_reference(pose: PoseSequence, motion: PoseSequence, matched: _Match) -> _Plane:
    """The plane of "ref" mode: the reference picture, with the motion retargeted to it."""
    keypoints = retarget(motion, pose, matched.anchor).keypoints[:, 0]
    return _over_the_picture(pose, matched.over.inverse(), keypoints)


def _untouched(pose: PoseSequence, motion: PoseSequence) -> _Plane:
    """The plane of "none" mode: the reference picture, covered by the driver's frame."""
    laid = cover(_frame(motion), pose.width, pose.height)
    keypoints = laid.keypoints(motion.keypoints[:, 0])
    return _over_the_picture(pose, laid, keypoints)


def _over_the_picture(pose: PoseSequence, driver: Similarity, keypoints: NDArray) -> _Plane:
    """The reference picture's plane with a motion; the picture is part of its content."""
    movement, frame = movement_box(keypoints), _frame(pose)
    shown: dict[Fit, Box] = {"crop": frame, "pad": frame, "motion": union(frame, movement)}
    return _Plane(Similarity(), driver, keypoints, movement, shown)


def _frame(sequence: PoseSequence) -> Box:
    return (0.0, 0.0, float(sequence.width), float(sequence.height))


def _reasons(mode: Mode, matched: _Match | None, face: Face, head: Head) -> dict[str, Any]:
    """The choices and their reasons, as plain JSON."""
    if matched is None:
        return {
            "mode": "none",
            "requested_mode": mode,
            "why": 'Took "none" as asked: nothing is moved.',
            "anchor": None,
        }
    decision, anchor = matched.decision, matched.anchor
    if mode == "auto":
        choice = f'Chose "{decision.mode}"'
    elif mode == decision.mode:
        choice = f'Took "{mode}" as asked, which auto would choose too'
    else:
        choice = f'Took "{mode}" as asked, where auto would choose "{decision.mode}"'
    dimmed = " and ".join(f"{style} {part}" for part, style in (("face", face), ("head", head)) if style != "full")
    because = f", since {decision.why_style}" if (face, head) == (decision.face, decision.head) else ""
    return {
        "mode": matched.mode,
        "requested_mode": mode,
        "why": f"{choice}: {decision.why}" + (f"; {dimmed}{because}." if dimmed else "."),
        "why_style": decision.why_style,
        "anchor": anchor.frame,
        "anchor_pin": PIN_NAMES[anchor.pin],
        "anchor_why": anchor.why,
        "body_ratio": matched.scale.ratio,
        "body_measure": matched.scale.measure,
        "framing_ratio": None if isnan(decision.size) else decision.size,
        "agreement": decision.agreement,
        "warning": decision.warning,
    }


def _numbers(prefix: str, placed: Similarity) -> dict[str, Any]:
    return {f"{prefix}scale": placed.scale, f"{prefix}shift": [placed.dx, placed.dy]}
