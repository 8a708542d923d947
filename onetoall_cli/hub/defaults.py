"""Generation defaults of a model: the settings that `animate` uses unless the user changes them.

They are stored beside the weights as `generation_config.json`, or in the catalogue for the released checkpoints.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from onetoall_cli.files import whole_file
from onetoall_cli.files.forms import Form, json_text, read_form
from onetoall_cli.lattice import CONTEXT_FRAMES, is_clip_length

GENERATION_CONFIG = "generation_config.json"

# The research code's negative prompt, exactly: its embedding depends on every letter.
RELEASED_NEGATIVE_PROMPT = (
    "black background, Aerial view, aerial view, overexposed, low quality, deformation, a poor composition, "
    "bad hands, bad teeth, bad eyes, bad limbs, distortion"
)


def _clip_length(frames: int) -> int:
    if not is_clip_length(frames):
        raise ValueError("should be 4k + 1 frames, as the VAE takes them (1, 5, 9, ... 81)")
    return frames


class GenerationDefaults(Form):
    """Generation settings. The defaults are the released inference settings of the 1.3B.

    Attributes:
        short_side: Limit of the output's short side in pixels.
        num_inference_steps: Euler steps.
        image_guidance_scale: Weight of the reference guidance (1 or less: off).
        pose_guidance_scale: Weight of the pose guidance (1 or less: off).
        shift: Timestep shift of the rectified-flow schedule.
        max_segment_frames: The most frames of a segment; 4k + 1.
        overlap: Frames that a segment takes from the one before, as the network was trained; 4k + 1.
        pose_canvas_short_side: Short side in pixels of the canvas on which poses are drawn.
        max_text_tokens: Rows of a prompt's embedding, zero-padded after the prompt's true length.
        negative_prompt: The prompt that guidance steers away from.
        face: How the driver's face is drawn: "auto", or "full" for a network that was trained without dimmed faces.
        reference_pose: Whether the network gets the reference's pose, as in training.
    """

    short_side: int = Field(384, gt=0, le=8192)
    num_inference_steps: int = Field(30, gt=0, le=1000)
    image_guidance_scale: float = Field(2.5, ge=0, le=100)
    pose_guidance_scale: float = Field(1.5, ge=0, le=100)
    shift: float = Field(7.0, gt=0, le=1000)
    max_segment_frames: Annotated[int, AfterValidator(_clip_length)] = Field(81, gt=0, le=10_001)
    overlap: Annotated[int, AfterValidator(_clip_length)] = Field(CONTEXT_FRAMES, gt=0, le=10_001)
    pose_canvas_short_side: int = Field(2160, gt=0, le=8192)
    max_text_tokens: int = Field(512, gt=0, le=8192)
    negative_prompt: str = Field(RELEASED_NEGATIVE_PROMPT, max_length=10_000)
    face: Literal["auto", "full", "light", "off"] = "auto"
    reference_pose: bool = True

    @classmethod
    def load(cls, path: Path) -> "GenerationDefaults":
        """Read a `generation_config.json`.

        Raises:
            BadInput: The file cannot be read, is not JSON, or holds a setting that cannot be used.
        """
        return read_form(cls, Path(path), advice="Correct it, or fetch or save the model again.")

    def save(self, path: Path) -> None:
        """Write every setting as JSON, whole or not at all."""
        with whole_file(Path(path)) as temporary:
            temporary.write_text(json_text(self), encoding="utf-8")
