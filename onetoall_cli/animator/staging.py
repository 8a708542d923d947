"""What a run's characters are put in front of, and where: the settings of the scene with the inputs they need."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np

from onetoall_cli.alignment import Conditioning
from onetoall_cli.alignment.similarity import Similarity
from onetoall_cli.animator.inputs import Motion, holds_poses, open_driving
from onetoall_cli.animator.settings import SceneSettings, Settings
from onetoall_cli.errors import BadInput
from onetoall_cli.pose import PoseSequence
from onetoall_cli.scene.backgrounds import DRIVER, REFERENCE, Background, EmptyScene, open_background


@dataclass(frozen=True)
class Stage:
    """The frame that characters are put in.

    Attributes:
        width, height: Pixels.
        background: What is behind them; None: what the first one shows.
        relight: Whether their light is matched to it.
        alpha: Whether the output is the characters alone.
        places: For each run its own pixels to the frame's, the first character's first.
    """

    width: int
    height: int
    background: Background | None
    relight: bool
    alpha: bool
    places: tuple[Similarity, ...]

    @property
    def is_plain(self) -> bool:
        """Whether the first character's frames are shown as they are."""
        return self.background is None and not self.alpha and len(self.places) == 1


def cast_of(scene: SceneSettings) -> dict[str, Path]:
    """The pictures of the other characters, by the persons whose places they take.

    Raises:
        BadInput: An entry names no person, a picture that is not there, or a person for the second time.
    """
    cast: dict[str, Path] = {}
    for entry in scene.cast:
        who, _, file = entry.partition("=")
        if not who or not file:
            raise BadInput(f"--cast {entry} names no person and picture.", "Give for instance --cast right=b.png.")
        if who in cast:
            raise BadInput(f"--cast gives {who} two pictures.", "Give each person one.")
        if not Path(file).exists():
            raise BadInput(f"{file} does not exist.", "Check the name in --cast.")
        cast[who] = Path(file)
    return cast


def check_scene(scene: SceneSettings, driving: Motion | None) -> None:
    """Check a scene before any work.

    Raises:
        BadInput: Its background cannot be read, or goes not with the motion or with an output that has none.
    """
    if cast_of(scene) and driving is None:
        raise BadInput("--cast needs the motion of several people.", "Give the driving video instead of --from.")
    if scene.alpha and scene.background != REFERENCE:
        raise BadInput("--alpha leaves out what --background puts behind.", "Give one or the other.")
    if scene.background == DRIVER and (driving is None or holds_poses(driving)):
        raise BadInput(
            "--background driver needs the driving video, and there are poses only.",
            "Give the video, or another background.",
        )
    if scene.background not in (REFERENCE, DRIVER):
        open_background(scene.background)


def check_no_scene(scene: SceneSettings) -> None:
    """Check that nothing is asked for that only `animate` can do.

    Raises:
        BadInput: Something is.
    """
    if scene != SceneSettings():
        raise BadInput(
            "Backgrounds, transparency and more characters are for animate.",
            "Animate one frame of the motion for a picture.",
        )


def in_the_dancer_s_place(settings: Settings) -> Settings:
    """The settings under which a character takes the dancer's place and size.

    Raises:
        BadInput: Another alignment is asked for.
    """
    align = settings.alignment.align
    if align not in ("auto", "pose"):
        raise BadInput(
            f"--align {align} does not put the character in the dancer's place.",
            "Leave it out where --background driver or --cast is given.",
        )
    return replace(settings, alignment=replace(settings.alignment, align="pose"))


def check_apart(dancers: Sequence[tuple[str, PoseSequence]]) -> None:
    """Check that characters take different persons' places.

    Raises:
        BadInput: Two take the same.
    """
    for (one, its), (other, others) in combinations(dancers, 2):
        if np.array_equal(its.keypoints, others.keypoints):
            raise BadInput(
                f"The persons {one} and {other} of the motion are the same, and cannot be two characters.",
                "Choose others with --person and --cast; `onetoall pose --preview` numbers them.",
            )


def stage_of(
    scene: SceneSettings,
    runs: Sequence[tuple[Conditioning, PoseSequence | None]],
    driving: Motion | None,
    settings: Settings,
) -> Stage:
    """The stage of some runs.

    Args:
        scene: What is asked for.
        runs: Of each the aligned input, the first character's first, and the dancer in pixels of the driving video
            (None: not known).
        driving: The driving video, for "driver".
        settings: Which part of it.
    """
    inputs = [aligned for aligned, _ in runs]
    background: Background | None = None
    if scene.background == DRIVER:
        assert driving is not None
        dancers = [dancer for _, dancer in runs if dancer is not None]
        background = EmptyScene(open_driving(driving, settings.motion), dancers)
    elif scene.background != REFERENCE:
        background = open_background(scene.background)
    if background is not None and background.size is not None:
        places = [_from_driver(each).inverse() for each in inputs]
        width, height = background.size
    else:
        others = [_from_driver(each).inverse().then(_from_driver(inputs[0])) for each in inputs[1:]]
        places = [Similarity(), *others]
        width, height = inputs[0].width, inputs[0].height
    relight = scene.relight == "auto" and background is not None and background.has_light
    return Stage(width, height, background, relight, scene.alpha, tuple(places))


def _from_driver(aligned: Conditioning) -> Similarity:
    """The map from the driving video's pixels to the aligned input's; of one that was made by hand, none."""
    meta = aligned.meta
    return Similarity(meta.get("motion_scale", 1.0), *meta.get("motion_shift", (0.0, 0.0)))
