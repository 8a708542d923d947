"""Errors of pose files, in one form for every format, and the limits that all formats share."""

from typing import NoReturn

from onetoall_cli.errors import BadInput

# Far beyond any real file, small enough that a hostile one cannot fill memory.
MAX_FILE_BYTES = 1 << 30
MAX_PERSON_FRAMES = 500_000  # frames x people: 800 MB of keypoints; 2.3 hours of two people at 30 fps
MAX_CANVAS = 1 << 16  # px a side
MAX_COORDINATE = 1e6  # px from the origin; limbs may leave the canvas, but not the building

FORMATS_ADVICE = (
    "Give a pose.json made by `onetoall pose`, OpenPose JSON (a file or a folder of frames), a ComfyUI "
    "POSE_KEYPOINT list, or an array (frames, 133, 3) as .npy or .npz."
)


def fault(
    place: str, problem: str, advice: str = "Correct the file, or make it again with `onetoall pose`."
) -> NoReturn:
    """Raise the error for `place` ("walk.json, frame 3, person 0, face_keypoints_2d").

    Raises:
        BadInput: Always.
    """
    raise BadInput(f"{place}: {problem}.", advice)
