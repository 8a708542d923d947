"""Export of a training run as a model folder that every command takes: network, VAE, settings and empty prompt."""

import re
import tempfile
import weakref
from dataclasses import replace
from pathlib import Path

import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from onetoall_cli.animator import Animator, Listener, load
from onetoall_cli.animator.settings import ModelSettings
from onetoall_cli.errors import BadInput
from onetoall_cli.files import whole_folder
from onetoall_cli.files.forms import check
from onetoall_cli.hub import GenerationDefaults
from onetoall_cli.model import OneToAllTransformer3DModel
from onetoall_cli.model.precision import is_kept_wide
from onetoall_cli.sampling import OneToAllPipeline, save_model
from onetoall_cli.training.checkpoints import latest_checkpoint, load_checkpoint
from onetoall_cli.training.initial import build_network
from onetoall_cli.training.recipe import TrainingSettings
from onetoall_cli.training.settings import dump_settings, load_settings
from onetoall_cli.training.sheets import GUIDANCE, SHIFT
from onetoall_cli.training.trainer import empty_prompt
from onetoall_cli.weights import PromptStore, load_vae

_CHECKPOINT = re.compile(r"step-\d+$")


def export_run(run: Path, folder: Path, *, checkpoint: Path | None = None) -> TrainingSettings:
    """Write a run of the network as a model folder, whole or not at all; one that onetoall wrote before is replaced.

    The prompt is always empty in training, so the empty and the negative prompt get the same embedding. The run's
    settings are kept in the folder as `training.yaml`.

    Args:
        run: The run's folder.
        folder: Where to write the model.
        checkpoint: A checkpoint of the run; by default the finished network, or the newest checkpoint before that.

    Returns:
        The run's settings.

    Raises:
        BadInput: The folder is not a run of the network, or has no checkpoint yet.
        ModelMissing: The run's VAE is missing.
    """
    settings = replace(load_settings(TrainingSettings, run / "settings.yaml"), output=run)  # it may have moved
    network = trained_network(settings, checkpoint)
    empty = empty_prompt(settings, network.config["text_dim"])[0]
    defaults = generation_defaults(settings, len(empty))
    pipeline = OneToAllPipeline(
        vae=load_vae(settings.vae, torch.bfloat16),
        transformer=in_bfloat16(network),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=defaults.shift),
    )
    with whole_folder(folder) as temporary:
        save_model(pipeline, defaults, temporary)
        prompts = {"": empty, defaults.negative_prompt: empty.clone()}
        PromptStore(temporary / "prompt_embeds.safetensors").put_all(prompts)
        (temporary / "prompt_embeds.lock").unlink(missing_ok=True)  # only needed while several processes write
        (temporary / "training.yaml").write_text(dump_settings(settings), encoding="utf-8")
    return settings


def load_model_or_run(
    name: str, settings: ModelSettings = ModelSettings(), listener: Listener = Listener()
) -> Animator:
    """Load a model by name or folder, or a training run: its finished network, else its newest checkpoint.

    Args:
        name: A model's name or folder, a run's folder, or RUN/checkpoints/step-N.
        settings: How to load it.
        listener: Receives notes on what was chosen.

    Raises:
        BadInput: There is no such model, or the run has no checkpoint yet.
        ModelMissing: A part of the model is missing.
    """
    folder = Path(name)
    checkpoint = folder if _CHECKPOINT.match(folder.name) else None
    run = folder.parent.parent if checkpoint else folder
    if not (run / "settings.yaml").is_file():
        return load(name, settings=settings, listener=listener)
    exported = tempfile.TemporaryDirectory()
    export_run(run, Path(exported.name) / "model", checkpoint=checkpoint)
    animator = load(Path(exported.name) / "model", settings=settings, listener=listener)
    weakref.finalize(animator, exported.cleanup)  # the weights are read when they are first needed
    title = f"{run.name} @ {int(checkpoint.name[5:])}" if checkpoint else run.name
    animator.engine.location = replace(animator.engine.location, name=title)
    return animator


def generation_defaults(settings: TrainingSettings, text_rows: int) -> GenerationDefaults:
    """How the model of a run samples: like its sample sheets, except for what its config's `generation` sets."""
    as_sheets = {
        "short_side": settings.resolutions[0].short_side,
        "num_inference_steps": settings.sample_steps,
        "image_guidance_scale": GUIDANCE,
        "pose_guidance_scale": GUIDANCE,
        "shift": SHIFT,
        "max_segment_frames": settings.frames,
        "pose_canvas_short_side": settings.pose_canvas_short_side,
        "max_text_tokens": text_rows,
        "face": "auto" if settings.conditions_of_stage.change_pose > 0 else "full",
        "reference_pose": settings.conditions_of_stage.reference_pose,
    }
    return check(
        GenerationDefaults,
        {**as_sheets, **settings.generation},
        source="generation",
        advice="Correct `generation` in the config.",
    )


def in_bfloat16(network: OneToAllTransformer3DModel) -> OneToAllTransformer3DModel:
    """The network in bfloat16, as models are published, except for parameters that need float32."""
    for name, parameter in network.named_parameters():
        parameter.data = parameter.data.to(torch.float32 if is_kept_wide(name) else torch.bfloat16)
    return network


def trained_network(settings: TrainingSettings, checkpoint: Path | None = None) -> OneToAllTransformer3DModel:
    """The averaged network of a run: from `checkpoint` if given, else finished, else from the newest checkpoint."""
    if checkpoint is None and (settings.output / "network" / "config.json").is_file():
        return build_network(None, settings.output, settings.seed).eval()
    found = checkpoint or latest_checkpoint(settings.output)
    if found is None:
        raise BadInput(f"The run {settings.output} has no checkpoint yet.", "Wait for its first one.")
    network = build_network(settings.model, settings.init_from, settings.seed)
    # Checkpoints hold only trained parameters; the others are as the run started.
    network.load_state_dict(load_checkpoint(found).average, strict=False)
    return network.eval()
