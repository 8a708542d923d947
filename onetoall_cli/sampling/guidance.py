"""Cumulative classifier-free guidance over the two conditions, reference and pose (paper section "Loss & Training").

With v(R, P) the velocity given reference and pose, v(0, P) without the reference and v(0, 0) with neither and the
negative prompt, the guided velocity is

    v = v(0, 0) + g_pose (v(0, P) - v(0, 0)) + g_ref (v(R, P) - v(0, P)),

a weighted sum of up to three network passes.
"""

from typing import NamedTuple


class Pass(NamedTuple):
    """One run of the network: with the reference or a black one, with the pose or none, and which prompt."""

    reference: bool
    pose: bool
    negative: bool


FULL = Pass(reference=True, pose=True, negative=False)
POSE_ONLY = Pass(reference=False, pose=True, negative=False)
UNCONDITIONAL = Pass(reference=False, pose=False, negative=True)


def guidance_weights(image_guidance_scale: float, pose_guidance_scale: float) -> dict[Pass, float]:
    """The passes to run and the weight of each pass's velocity; the weights sum to 1.

    Args:
        image_guidance_scale: g_ref. At most 1, with `pose_guidance_scale` at most 1 too: no guidance, one pass.
        pose_guidance_scale: g_pose. At most 1: both conditions are guided together by g_ref, two passes.

    Passes of weight 0 are left out: equal scales, as in the paper (1.5 / 1.5), need two passes and not three.
    """
    if pose_guidance_scale <= 1 and image_guidance_scale <= 1:
        return {FULL: 1.0}
    if pose_guidance_scale <= 1:
        return {UNCONDITIONAL: 1 - image_guidance_scale, FULL: image_guidance_scale}
    weights = {
        UNCONDITIONAL: 1 - pose_guidance_scale,
        POSE_ONLY: pose_guidance_scale - image_guidance_scale,
        FULL: image_guidance_scale,
    }
    return {each: weight for each, weight in weights.items() if weight != 0}
