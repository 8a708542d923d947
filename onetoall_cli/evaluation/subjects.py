"""What is measured: a model by name or folder, or a training run as far as it has come."""

import re
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from onetoall_cli.align import Conditioning
from onetoall_cli.hub import GenerationDefaults, locate_model
from onetoall_cli.pose.drawing import Face
from onetoall_cli.sampling import OneToAllPipeline, SamplingSettings, animate, load_pipeline
from onetoall_cli.training.export import export_run
from onetoall_cli.weights import prompt_embeddings

_CHECKPOINT = re.compile(r"step-\d+$")


@dataclass(frozen=True)
class Subject:
    """A network ready to animate, and how it wants to be used.

    Attributes:
        name: for the tables.
        pipeline: on its device.
        sampling: steps, guidance and longest segment.
        defaults: the model's generation defaults.
        prompt_embeds, negative_prompt_embeds: (1, L, text_dim).
        face: how a driver's face is drawn; "full" for a network that was never shown a dim one.
        reference_pose: whether it is given the reference's pose, as it was in training.
    """

    name: str
    pipeline: OneToAllPipeline
    sampling: SamplingSettings
    defaults: GenerationDefaults
    prompt_embeds: torch.Tensor
    negative_prompt_embeds: torch.Tensor
    face: Literal["auto"] | Face = "auto"
    reference_pose: bool = True

    def animate(self, conditioning: Conditioning, *, seed: int, segment_frames: int) -> NDArray[np.uint8]:
        """What the product makes of `conditioning`: uint8 (T, H, W, 3).

        Args:
            seed: of the noise.
            segment_frames: of the longest segment, 4k + 1.
        """
        if not self.reference_pose:
            conditioning = replace(conditioning, reference_pose=np.zeros_like(conditioning.reference_pose))
        sampling = replace(self.sampling, seed=seed, max_segment_frames=segment_frames)
        frames = animate(self.pipeline, conditioning, sampling, self.prompt_embeds, self.negative_prompt_embeds)
        return np.stack(list(frames))


def open_subject(name: str, device: torch.device, dtype: torch.dtype) -> Subject:
    """Load what is to be measured, as the generating commands load it.

    Args:
        name: a model's name or folder, or the folder of a training run: its finished network, else its newest
            checkpoint. RUN/checkpoints/step-N names one.

    Raises:
        BadInput: there is no such model, or the run has not come to a checkpoint yet.
        ModelMissing: something of the model is missing.
    """
    folder = Path(name)
    if _CHECKPOINT.match(folder.name):
        return _open_run(folder.parent.parent, folder, device, dtype)
    if (folder / "settings.yaml").is_file():
        return _open_run(folder, None, device, dtype)
    return _open_model(name, device, dtype)


def _open_model(name: str, device: torch.device, dtype: torch.dtype) -> Subject:
    location = locate_model(name)
    defaults = location.defaults
    pipeline = load_pipeline(location, device, dtype)
    pipeline.set_progress_bar_config(disable=True)
    sampling = SamplingSettings(
        num_inference_steps=defaults.num_inference_steps,
        image_guidance_scale=defaults.image_guidance_scale,
        pose_guidance_scale=defaults.pose_guidance_scale,
        max_segment_frames=defaults.max_segment_frames,
    )
    prompt, negative = prompt_embeddings(location, ["", defaults.negative_prompt], device=device)
    return Subject(Path(location.name).name, pipeline, sampling, defaults, prompt, negative)


def _open_run(run: Path, checkpoint: Path | None, device: torch.device, dtype: torch.dtype) -> Subject:
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model"
        stage = export_run(run, model, checkpoint=checkpoint).conditions_of_stage
        subject = _open_model(str(model), device, dtype)
    return replace(
        subject,
        name=f"{run.name} @ {int(checkpoint.name[5:])}" if checkpoint else run.name,
        face="auto" if stage.change_pose > 0 else "full",
        reference_pose=stage.reference_pose,
    )
