"""The numbering of COCO-WholeBody's 133 keypoints, and of OpenPose's body: which row is which part.

Source: COCO-WholeBody (17 body, 6 feet, 68 face, 21 left hand, 21 right hand), OpenPose `doc/02_output.md`.
"""

COUNT = 133

# Groups, as slices of the keypoint axis.
BODY = slice(0, 17)
FEET = slice(17, 23)
FACE = slice(23, 91)
LEFT_HAND = slice(91, 112)
RIGHT_HAND = slice(112, 133)

# Rows of single points.
NOSE, LEFT_EYE, RIGHT_EYE, LEFT_EAR, RIGHT_EAR = range(5)
LEFT_SHOULDER, RIGHT_SHOULDER, LEFT_ELBOW, RIGHT_ELBOW, LEFT_WRIST, RIGHT_WRIST = range(5, 11)
LEFT_HIP, RIGHT_HIP, LEFT_KNEE, RIGHT_KNEE, LEFT_ANKLE, RIGHT_ANKLE = range(11, 17)
LEFT_BIG_TOE, LEFT_SMALL_TOE, LEFT_HEEL, RIGHT_BIG_TOE, RIGHT_SMALL_TOE, RIGHT_HEEL = range(17, 23)

# OpenPose's 18-point body (its "COCO" model), as rows of the 133; the neck (index 1) is no row of them.
NECK = None
OPENPOSE_BODY: tuple[int | None, ...] = (
    NOSE,
    NECK,
    RIGHT_SHOULDER,
    RIGHT_ELBOW,
    RIGHT_WRIST,
    LEFT_SHOULDER,
    LEFT_ELBOW,
    LEFT_WRIST,
    RIGHT_HIP,
    RIGHT_KNEE,
    RIGHT_ANKLE,
    LEFT_HIP,
    LEFT_KNEE,
    LEFT_ANKLE,
    RIGHT_EYE,
    LEFT_EYE,
    RIGHT_EAR,
    LEFT_EAR,
)
OPENPOSE_NECK = 1

# OpenPose's BODY_25, as rows of the 133; neck (1) and middle of the hips (8) are no rows of them.
OPENPOSE_BODY_25: tuple[int | None, ...] = (
    NOSE,
    NECK,
    RIGHT_SHOULDER,
    RIGHT_ELBOW,
    RIGHT_WRIST,
    LEFT_SHOULDER,
    LEFT_ELBOW,
    LEFT_WRIST,
    None,
    RIGHT_HIP,
    RIGHT_KNEE,
    RIGHT_ANKLE,
    LEFT_HIP,
    LEFT_KNEE,
    LEFT_ANKLE,
    RIGHT_EYE,
    LEFT_EYE,
    RIGHT_EAR,
    LEFT_EAR,
    LEFT_BIG_TOE,
    LEFT_SMALL_TOE,
    LEFT_HEEL,
    RIGHT_BIG_TOE,
    RIGHT_SMALL_TOE,
    RIGHT_HEEL,
)
