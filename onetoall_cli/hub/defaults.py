"""Generation defaults of a model: the settings that `animate` uses unless the user changes them.

They are stored beside the weights as `generation_config.json`, or in the catalogue for the released checkpoints.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

from onetoall_cli.errors import BadInput
from onetoall_cli.files import whole_file
from onetoall_cli.lattice import is_clip_length

GENERATION_CONFIG = "generation_config.json"

# The research code's negative prompt, exactly: its embedding depends on every letter.
RELEASED_NEGATIVE_PROMPT = (
    "black background, Aerial view, aerial view, overexposed, low quality, deformation, a poor composition, "
    "bad hands, bad teeth, bad eyes, bad limbs, distortion"
)


@dataclass(frozen=True)
class GenerationDefaults:
    """Generation settings. The defaults are the released inference settings of the 1.3B.

    Attributes:
        short_side: Limit of the output's short side in pixels.
        num_inference_steps: Euler steps.
        image_guidance_scale: Weight of the reference guidance (1 or less: off).
        pose_guidance_scale: Weight of the pose guidance (1 or less: off).
        shift: Timestep shift of the rectified-flow schedule.
        max_segment_frames: The most frames of a segment; 4k + 1.
        pose_canvas_short_side: Short side in pixels of the canvas on which poses are drawn.
        max_text_tokens: Rows of a prompt's embedding, zero-padded after the prompt's true length.
        negative_prompt: The prompt that guidance steers away from.
        face: How the driver's face is drawn: "auto", or "full" for a network that was trained without dimmed faces.
        reference_pose: Whether the network gets the reference's pose, as in training.
    """

    short_side: int = 384
    num_inference_steps: int = 30
    image_guidance_scale: float = 2.5
    pose_guidance_scale: float = 1.5
    shift: float = 7.0
    max_segment_frames: int = 81
    pose_canvas_short_side: int = 2160
    max_text_tokens: int = 512
    negative_prompt: str = RELEASED_NEGATIVE_PROMPT
    face: Literal["auto", "full", "light", "off"] = "auto"
    reference_pose: bool = True

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], *, source: str) -> "GenerationDefaults":
        """Check `values`; defaults fill the rest.

        Args:
            values: Some or all of the attributes.


        source: Their origin, for messages.

        Raises:
            BadInput: A name is unknown, a type is wrong, or a value is out of range.
        """
        known = {field.name: field for field in fields(cls)}
        for name, value in values.items():
            if name not in known:
                raise BadInput(f"{source} has an unknown setting '{name}'.", f"Known settings: {', '.join(known)}.")
            _check_type(name, value, type(getattr(cls, name)), source)
        defaults = cls(**{name: type(getattr(cls, name))(value) for name, value in values.items()})
        defaults._check_ranges(source)
        return defaults

    def _check_ranges(self, source: str) -> None:
        faces = get_args(get_type_hints(type(self))["face"])
        if self.face not in faces:
            raise BadInput(f"{source}: face is {self.face!r}.", f"It must be one of {', '.join(faces)}.")
        positive = ("short_side", "num_inference_steps", "shift", "pose_canvas_short_side", "max_text_tokens")
        for name in positive:
            if getattr(self, name) <= 0:
                raise BadInput(f"{source}: {name} is {getattr(self, name)}.", "It must be greater than 0.")
        if not is_clip_length(self.max_segment_frames):
            raise BadInput(
                f"{source}: max_segment_frames is {self.max_segment_frames}.",
                "The VAE takes 4k + 1 frames: 1, 5, 9, ... 81.",
            )

    @classmethod
    def load(cls, path: Path) -> "GenerationDefaults":
        """Read a `generation_config.json`.

        Raises:
            BadInput: The file cannot be read, is not JSON, or holds a setting that cannot be used.
        """
        try:
            values = json.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise BadInput(f"{path} cannot be read: {error.strerror}.", "Check the model's folder.") from error
        except ValueError as error:
            raise BadInput(f"{path} is not valid JSON: {error}.", "Correct it or fetch the model again.") from error
        if not isinstance(values, dict):
            raise BadInput(f"{path} does not hold a JSON object.", "Correct it or fetch the model again.")
        return cls.from_dict(values, source=str(path))

    def save(self, path: Path) -> None:
        """Write every setting as JSON, whole or not at all."""
        with whole_file(Path(path)) as temporary:
            temporary.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")


def _check_type(name: str, value: Any, wanted: type, source: str) -> None:
    accepted = (int, float) if wanted is float else (wanted,)
    if not isinstance(value, accepted) or isinstance(value, bool) != (wanted is bool):
        kind = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}[wanted]
        raise BadInput(f"{source}: {name} is {value!r}.", f"It must be {kind}.")
