"""The three stages of the paper's training as a table: trained parameters and probabilities of the conditions.

The figures are those of the released training code.
"""

import re

from pydantic import field_validator, model_validator
from torch import nn
from typing_extensions import Self

from onetoall_cli.errors import BadInput
from onetoall_cli.training.settings import NotNegative, Settings, Share


class TrainingStage(Settings):
    """One stage. Dropping, token replace and noise are drawn for a batch, everything else for a sample."""

    name: str
    """Its name in messages."""
    trained: tuple[str, ...]
    """Regular expressions of the trained parameters' names."""
    drop_both: Share
    """Probability that neither reference nor pose is given."""
    drop_reference: Share
    """Probability that only the reference is not given."""
    drop_pose: Share
    """Probability that only the pose is not given; the three exclude each other."""
    first_frame: Share
    """Probability that the reference is the first frame of the training window."""
    mask: Share
    """Probability, among all samples, that only a box around the reference's face is known. Those without a reference
    count too, so among the others it is more."""
    mask_pictures_always: bool = True
    """Whether, instead of by `mask`, single pictures are always masked where the reference is the same picture, and
    never where it is another one."""
    hole: Share = 0.2
    """Probability that a reference without a mask has one small hole."""
    zoom: Share
    """Probability that either the reference or the clip is enlarged."""
    change_pose: Share
    """Probability that the driving face gets another person's proportions."""
    hide_face: Share = 0.2
    """Probability that no driving face is drawn."""
    reference_face: Share = 0.8
    """Probability that the reference's pose is drawn with its face."""
    reference_noise: Share = 0.5
    """Probability that the known part of the reference is noisy."""
    token_replace: Share
    """Probability that the first two latent frames are clean context."""
    region_weight: NotNegative
    """Weight of errors in faces, and in hands with `weigh_hands`."""
    weigh_hands: bool
    """Whether hands weigh as much as faces."""
    body_weight: NotNegative = 1.0
    """Weight of errors on and near limbs, trunk and head (not in the paper)."""
    reference_pose: bool = True
    """Whether the reference's pose is given beside the driving one; without it, for ablations, it is a black
    picture."""

    @field_validator("trained")
    @classmethod
    def _are_patterns(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            try:
                re.compile(pattern)
            except (re.error, OverflowError, RecursionError) as error:
                raise ValueError(f"should be regular expressions ({error})") from error
        return patterns

    @model_validator(mode="after")
    def _excludes(self) -> Self:
        if self.drop_both + self.drop_reference + self.drop_pose > 1 + 1e-9:
            raise ValueError("has drop_both, drop_reference and drop_pose that add up to more than 1")
        return self

    @property
    def mask_where_given(self) -> float:
        """Probability of the mask among the samples that have a reference."""
        given = 1 - self.drop_both - self.drop_reference
        return min(1.0, self.mask / given) if given > 0 else 0.0


_HRFA_ADDITIONS = r"blocks\.\d+\.self_attention\.(to_reference_k|to_reference_v|norm_reference_k|to_out)\."
_EXTRACTOR = r"reference_extractor\."
_POSE_CONTROL = (
    r"blocks\.\d+\.self_attention\.",
    r"patch_embedding\.",
    r"pose_encoder\.",
    r"pose_refiner\.",
    r"prefix_encoder\.",
    _EXTRACTOR,
)

STAGES: dict[int, TrainingStage] = {
    1: TrainingStage(
        name="reference extractor",
        trained=(_EXTRACTOR, _HRFA_ADDITIONS),
        drop_both=0.2,
        drop_reference=0.0,
        drop_pose=0.8,
        first_frame=0.2,
        mask=0.5,
        zoom=0.0,
        change_pose=0.0,
        token_replace=0.0,
        region_weight=3.0,
        weigh_hands=False,
    ),
    2: TrainingStage(
        name="pose control",
        trained=_POSE_CONTROL,
        drop_both=0.1,
        drop_reference=0.1,
        drop_pose=0.2,
        first_frame=0.0,
        mask=0.5,
        zoom=0.1,
        change_pose=0.7,
        token_replace=0.0,
        region_weight=3.0,
        weigh_hands=True,
    ),
    3: TrainingStage(
        name="token replace",
        trained=_POSE_CONTROL,
        drop_both=0.1,
        drop_reference=0.1,
        drop_pose=0.3,
        first_frame=0.0,
        mask=0.3,
        zoom=0.1,
        change_pose=0.5,
        token_replace=0.2,
        region_weight=1.0,
        weigh_hands=True,
    ),
}


def trained_names(network: nn.Module, stage: TrainingStage) -> list[str]:
    """The names of the parameters a stage trains.

    Raises:
        BadInput: A pattern matches no parameter.
    """
    names = [name for name, _ in network.named_parameters()]
    patterns = [re.compile(pattern) for pattern in stage.trained]
    for pattern in patterns:
        if not any(pattern.match(name) for name in names):
            raise BadInput(f"No parameter matches {pattern.pattern!r}.", "Correct the stage's list of trained names.")
    return [name for name in names if any(pattern.match(name) for pattern in patterns)]


def freeze_but(network: nn.Module, names: list[str]) -> None:
    """Train only the named parameters; freeze the others."""
    wanted = set(names)
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name in wanted)
