"""How a motion of any length is cut into segments that the network generates one after another.

A segment is 4k+1 frames (the VAE keeps the first frame alone and packs the rest by four). Every segment but the
first begins with frames that the one before it made (token replace, paper section "Token Replace").
"""

from dataclasses import dataclass

from onetoall_cli.errors import BadInput
from onetoall_cli.lattice import CONTEXT_FRAMES, TEMPORAL_STRIDE, is_clip_length

MAX_SEGMENT_FRAMES = 81  # released inference setting


@dataclass(frozen=True)
class Segment:
    """`length` frames of the motion from frame `start` on; the first `context` of them exist already.

    `start + length` may pass the motion's end by up to 3 frames: those repeat the last pose and are dropped.
    """

    start: int
    length: int
    context: int

    @property
    def stop(self) -> int:
        return self.start + self.length


def plan_segments(
    frames: int,
    max_frames: int = MAX_SEGMENT_FRAMES,
    *,
    overlap: int = CONTEXT_FRAMES,
    has_context: bool = False,
) -> tuple[Segment, ...]:
    """Cut `frames` frames into the segments that generate the fewest frames, of balanced length.

    Args:
        frames: Frames of motion, >= 1. One frame is a plan of one one-frame segment: an image.
        max_frames: Longest segment; rounded down to 4k+1.
        overlap: Frames that two segments share, 4k + 1.
        has_context: The first `overlap` frames exist already (a clip is being extended).

    Returns:
        Segments in order; each but the first starts `overlap` frames before the end of the one before.

    Each border costs latent steps that are generated twice, so the fewest segments cost least, and equal lengths cost
    the least attention (which grows with the square).

    Raises:
        BadInput: There is no frame, `overlap` is not 4k + 1, or `max_frames` leaves no room for new frames beside it.
    """
    if not is_clip_length(overlap):
        raise BadInput(f"An overlap of {overlap} frames cannot be.", "It is 4k + 1, as the VAE takes frames: 1, 5, 9.")
    if frames < 1:
        raise BadInput("The motion has no frames.", "Check the driving video and --start/--duration.")
    first_context = overlap if has_context else 0
    if frames <= first_context:
        raise BadInput("There is no motion after the context frames.", "Give a longer motion.")
    longest = (max_frames - 1) // TEMPORAL_STRIDE  # latent steps beyond a segment's first frame
    steps_needed = -(-(frames - 1) // TEMPORAL_STRIDE)
    if steps_needed <= longest:
        return (Segment(0, steps_needed * TEMPORAL_STRIDE + 1, first_context),)
    context_steps = overlap // TEMPORAL_STRIDE
    if longest <= context_steps:
        raise BadInput(
            f"Segments of {max_frames} frames leave no room beside {overlap} carried frames.",
            f"Use at least {overlap + TEMPORAL_STRIDE} frames a segment, or a smaller --overlap.",
        )
    # each border costs the context's latent steps once more
    count = -(-(steps_needed - context_steps) // (longest - context_steps))
    total = steps_needed + (count - 1) * context_steps
    segments: list[Segment] = []
    start = 0
    for index in range(count):
        steps = total // count + (index < total % count)
        length = steps * TEMPORAL_STRIDE + 1
        segments.append(Segment(start, length, overlap if index else first_context))
        start += length - overlap
    return tuple(segments)
