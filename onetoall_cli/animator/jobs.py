"""`Job`: what one command is to make, as a plain value, before anything is read; a batch is a list of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from onetoall_cli.animator.settings import ModelSettings, Settings
from onetoall_cli.files import default_name

if TYPE_CHECKING:
    from onetoall_cli.animator.animator import Animator
    from onetoall_cli.animator.plans import RunPlan
    from onetoall_cli.animator.results import Result


@dataclass(frozen=True)
class Job:
    """One run of `animate`, `transfer` or `extend`.

    Attributes:
        command: Which.
        inputs: Files and folders by the names that the method of `Animator` has for them, in its order; an aligned
            folder is the "reference" of `animate`, without a "driving".
        settings: How.
        pose_frame: For `transfer`: which frame of the pose.
    """

    command: Literal["animate", "transfer", "extend"]
    inputs: Mapping[str, Path]
    settings: Settings = field(default_factory=Settings)
    pose_frame: int = 0

    def result(self, animator: "Animator") -> "Result":
        """The run, ready to be made; see the methods of `Animator`.

        Raises:
            BadInput, ModelMissing, OutOfResources: As the method.
        """
        given = dict(self.inputs)
        if self.command == "transfer":
            return animator.transfer(**given, pose_frame=self.pose_frame, settings=self.settings)
        method = animator.animate if self.command == "animate" else animator.extend
        return method(**given, settings=self.settings)  # type: ignore[operator, no-any-return]

    def plan(self, animator: "Animator") -> "RunPlan":
        """What it would do; nothing is detected.

        Raises:
            BadInput, OutOfResources: As `result`.
        """
        given, settings = self.inputs, self.settings
        if self.command == "transfer":
            return animator.plan_transfer(given["reference"], settings=settings)
        if self.command == "extend":
            return animator.plan_extension(given["clip"], given["driving"], settings=settings)
        return animator.plan(given["reference"], given.get("driving"), settings=settings)

    @property
    def default_output(self) -> Path:
        """The name of its output where none is given, after its inputs."""
        if self.command == "extend":
            return default_name(self.inputs["clip"], ending="-extended.mp4")
        named = [path for name, path in self.inputs.items() if name in ("reference", "driving", "pose")]
        ending = ".mov" if self.settings.scene.alpha else ".mp4"
        return default_name(*named, ending=".png" if self.command == "transfer" else ending)

    @property
    def endings(self) -> tuple[str, ...]:
        """What its output's name may end in."""
        from onetoall_cli.media import PICTURE_ENDINGS, VIDEO_ENDINGS
        from onetoall_cli.media.containers import ALPHA_ENDINGS

        if self.settings.scene.alpha:
            return ALPHA_ENDINGS
        return PICTURE_ENDINGS if self.command == "transfer" else VIDEO_ENDINGS

    @property
    def files(self) -> list[Path]:
        """All that it reads."""
        cast = [Path(entry.partition("=")[2]) for entry in self.settings.scene.cast]
        pose, behind = self.settings.alignment.ref_pose, Path(self.settings.scene.background)
        return [*self.inputs.values(), *([pose] if pose else []), *([behind] if behind.exists() else []), *cast]


def files_of(model: ModelSettings) -> list[Path]:
    """What a run reads of its model, where that is the user's own: its folder, LoRA files."""
    named = [Path(model.model)] if model.model else []
    return [path for path in [*named, *(Path(lora) for lora in model.lora)] if path.exists()]
