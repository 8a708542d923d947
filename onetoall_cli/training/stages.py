"""The three stages of the paper's training as a table: trained parameters and probabilities of the conditions.

Source: the paper, "Loss & Training", and the research code's training scripts. A value they do not give for a stage is
that of the stage before.
"""

import re
from dataclasses import dataclass

from torch import nn

from onetoall_cli.errors import BadInput


@dataclass(frozen=True)
class TrainingStage:
    """One stage. Dropping and token replace are drawn for a batch, everything else for a sample.

    Attributes:
        name: Its name in messages.
        trained: Regular expressions of the trained parameters' names.
        drop_both: Probability that neither reference nor pose is given.
        drop_reference: Probability that only the reference is not given.
        drop_pose: Probability that only the pose is not given; the three exclude each other.
        first_frame: Probability that the reference is the first frame of the training window.
        mask: Probability that only a box around the reference's face is known.
        zoom: Probability that reference and clip are enlarged together.
        change_pose: Probability that the driving face gets another person's proportions.
        hide_face: Probability that no driving face is drawn.
        token_replace: Probability that the first two latent frames are clean context.
        region_weight: Weight of errors in faces and hands.
        body_weight: Weight of errors on and near limbs, trunk and head (not in the paper).
        reference_pose: Whether the reference's pose is given beside the driving one; without it, for ablations, it is a
            black picture.
    """

    name: str
    trained: tuple[str, ...]
    drop_both: float
    drop_reference: float
    drop_pose: float
    first_frame: float
    mask: float
    zoom: float
    change_pose: float
    hide_face: float
    token_replace: float
    region_weight: float
    body_weight: float = 1.0
    reference_pose: bool = True

    def __post_init__(self) -> None:
        if self.drop_both + self.drop_reference + self.drop_pose > 1 + 1e-9:
            raise ValueError("drop_both, drop_reference and drop_pose add up to more than 1")


_HRFA_ADDITIONS = r"blocks\.\d+\.self_attention\.(to_reference_k|to_reference_v|norm_reference_k|to_out)\."
_POSE_CONTROL = (
    r"blocks\.\d+\.self_attention\.",
    r"patch_embedding\.",
    r"pose_encoder\.",
    r"pose_refiner\.",
    r"prefix_encoder\.",
)

STAGES: dict[int, TrainingStage] = {
    1: TrainingStage(
        "reference extractor",
        (r"reference_extractor\.", _HRFA_ADDITIONS),
        drop_both=0.2,
        drop_reference=0.0,
        drop_pose=0.8,
        first_frame=0.2,
        mask=0.5,
        zoom=0.0,
        change_pose=0.0,
        hide_face=0.2,
        token_replace=0.0,
        region_weight=3.0,
    ),
    2: TrainingStage(
        "pose control",
        _POSE_CONTROL,
        drop_both=0.1,
        drop_reference=0.1,
        drop_pose=0.2,
        first_frame=0.0,
        mask=0.5,
        zoom=0.1,
        change_pose=0.7,
        hide_face=0.2,
        token_replace=0.0,
        region_weight=3.0,
    ),
    3: TrainingStage(
        "token replace",
        _POSE_CONTROL,
        drop_both=0.1,
        drop_reference=0.1,
        drop_pose=0.3,
        first_frame=0.0,
        mask=0.3,
        zoom=0.1,
        change_pose=0.5,
        hide_face=0.2,
        token_replace=0.2,
        region_weight=1.0,
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
