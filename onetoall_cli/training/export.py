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
from onetoall_cli.sampling.lora import Lora, apply_loras
from onetoall_cli.training.checkpoints import Checkpoint, latest_checkpoint, load_checkpoint
from onetoall_cli.training.initial import Start, build_network, find_start, released_defaults
from onetoall_cli.training.lora import LORA_FILE, save_lora
from onetoall_cli.training.recipe import TrainingSettings
from onetoall_cli.training.settings import dump_settings, load_settings
from onetoall_cli.training.sheets import GUIDANCE, SHIFT
from onetoall_cli.training.trainer import empty_prompt
from onetoall_cli.weights import PromptStore, load_vae
from onetoall_cli.weights.text_encoder import prompt_rows

_CHECKPOINT = re.compile(r"step-\d+$")


def export_run(run: Path, folder: Path, *, checkpoint: Path | None = None) -> TrainingSettings:
    """Write a run of the network as a model folder, whole or not at all; one that onetoall wrote before is replaced.

    What it needs at inference is that of the model it started from. One that began with random weights has seen the
    empty prompt alone, so its negative prompt gets the same embedding. The run's settings are kept in the folder as
    `training.yaml`. A LoRA is merged.

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
    settings = load_settings(TrainingSettings, run / "settings.yaml").changed(output=run)  # it may have moved
    start = find_start(settings.init_from)
    network = trained_network(settings, start, checkpoint)
    empty = empty_prompt(settings, start, network.config["text_dim"])[0]
    defaults = generation_defaults(settings, start, len(empty))
    pipeline = OneToAllPipeline(
        vae=load_vae(settings.vae or start.whole().vae, torch.bfloat16),
        transformer=in_bfloat16(network),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=defaults.shift),
    )
    with whole_folder(folder, "model") as temporary:
        save_model(pipeline, defaults, temporary)
        PromptStore(temporary / "prompt_embeds.safetensors").put_all(
            _prompts(settings, start, empty, defaults.negative_prompt)
        )
        (temporary / "prompt_embeds.lock").unlink(missing_ok=True)  # only needed while several processes write
        (temporary / "training.yaml").write_text(dump_settings(settings), encoding="utf-8")
    return settings


def _prompts(
    settings: TrainingSettings, start: Start, empty: torch.Tensor, negative_prompt: str
) -> dict[str, torch.Tensor]:
    """The embeddings of the two prompts that every generation needs."""
    if not start.knows_text:
        return {"": empty, negative_prompt: empty.clone()}
    if settings.prompt_embeds is None:
        return prompt_rows(start.whole(), ["", negative_prompt])
    store = PromptStore(settings.prompt_embeds)
    found = {prompt: rows for prompt in ("", negative_prompt) if (rows := store.get(prompt)) is not None}
    if len(found) < 2:
        problem = f"{settings.prompt_embeds} does not hold the negative prompt, which the exported model needs."
        raise BadInput(problem, "Store it with `onetoall prompt-embeds`.")
    return found


def check_exportable(settings: TrainingSettings) -> None:
    """Fail before a run is trained if it could not be exported afterwards.

    Raises:
        BadInput, ModelMissing: As `export_run`, for the prompts.
    """
    start = find_start(settings.init_from)
    if start.knows_text:
        defaults = generation_defaults(settings, start, 1)
        _prompts(settings, start, torch.zeros(1, 1), defaults.negative_prompt)


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


def generation_defaults(settings: TrainingSettings, start: Start, text_rows: int) -> GenerationDefaults:
    """How the model of a run samples: like the model it started from, or if it began with random weights like its
    sample sheets; except for what the run's conditions and its config's `generation` say."""
    stage = settings.conditions_of_stage
    learnt = {"face": "auto" if stage.change_pose > 0 else "full", "reference_pose": stage.reference_pose}
    if not start.knows_text:
        base = {
            "short_side": settings.sizes[0].least_side,
            "num_inference_steps": settings.sample_steps,
            "image_guidance_scale": GUIDANCE,
            "pose_guidance_scale": GUIDANCE,
            "shift": SHIFT,
            "max_segment_frames": settings.frames,
            "pose_canvas_short_side": settings.pose_canvas_short_side,
            "max_text_tokens": text_rows,
        }
    else:
        base = released_defaults(start).model_dump(mode="json")
    values = {**base, **learnt, **settings.generation}
    return check(GenerationDefaults, values, source="generation", advice="Correct `generation` in the config.")


def in_bfloat16(network: OneToAllTransformer3DModel) -> OneToAllTransformer3DModel:
    """The network in bfloat16, as models are published, except for parameters that need float32."""
    for name, parameter in network.named_parameters():
        parameter.data = parameter.data.to(torch.float32 if is_kept_wide(name) else torch.bfloat16)
    return network


def trained_network(
    settings: TrainingSettings, start: Start, checkpoint: Path | None = None
) -> OneToAllTransformer3DModel:
    """The network of a run: from `checkpoint` if given, else finished, else from the newest checkpoint.

    Raises:
        BadInput: The run has no checkpoint yet.
    """
    if checkpoint is None and (settings.output / "network" / "config.json").is_file():
        return build_network(None, Start("finished", settings.output / "network"), settings.seed).eval()
    if settings.train == "lora":
        return _with_lora(settings, start, checkpoint)
    reached = _checkpoint_of(settings, checkpoint).result
    network = build_network(settings.model, start, settings.seed)
    # Checkpoints hold only trained parameters; the others are as the run started.
    network.load_state_dict(reached, strict=False)
    return network.eval()


def _with_lora(settings: TrainingSettings, start: Start, checkpoint: Path | None) -> OneToAllTransformer3DModel:
    network = build_network(settings.model, start, settings.seed)
    finished = settings.output / LORA_FILE
    if checkpoint is None and finished.is_file():
        apply_loras(network, [Lora(finished)])
        return network.eval()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / LORA_FILE
        save_lora(_checkpoint_of(settings, checkpoint).result, settings.lora, file)
        apply_loras(network, [Lora(file)])
    return network.eval()


def _checkpoint_of(settings: TrainingSettings, checkpoint: Path | None) -> Checkpoint:
    found = checkpoint or latest_checkpoint(settings.output)
    if found is None:
        raise BadInput(f"The run {settings.output} has no checkpoint yet.", "Wait for its first one.")
    return load_checkpoint(found)
