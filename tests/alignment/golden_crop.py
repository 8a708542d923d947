"""The input convention of the golden numbers: the driver centre-cropped to the reference's aspect and size."""

from dataclasses import replace


def centre_cropped(motion, reference):
    """`motion` as the golden numbers were computed from (tests/data README): never done by the product."""
    width, height = motion.width, motion.height
    if width * reference.height > height * reference.width:
        crop = (int(height * reference.width / reference.height), height)
    else:
        crop = (width, int(width * reference.height / reference.width))
    keypoints = motion.keypoints.astype("float64")
    for axis, (side, kept, target) in enumerate(
        zip((width, height), crop, (reference.width, reference.height), strict=True)
    ):
        keypoints[..., axis] = (keypoints[..., axis] - (side - kept) / 2) * target / kept
    return replace(motion, keypoints=keypoints, width=reference.width, height=reference.height)
