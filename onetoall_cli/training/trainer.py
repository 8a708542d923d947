"""The training loop of one stage, from its settings to a finished network.

It runs on a CPU or a GPU, or on many processes under `accelerate launch`.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, DistributedType
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.utils.data import DataLoader

from onetoall_cli.errors import BadInput
from onetoall_cli.files import whole_file, whole_folder
from onetoall_cli.model import OneToAllTransformer3DModel
from onetoall_cli.model.pixels import to_tensor
from onetoall_cli.model.precision import is_kept_wide
from onetoall_cli.training.board import Board
from onetoall_cli.training.checkpoints import (
    Average,
    Checkpoint,
    LossLog,
    latest_checkpoint,
    load_checkpoint,
    optimiser_tensors,
    prune_checkpoints,
    restore_optimisers,
    save_checkpoint,
)
from onetoall_cli.training.encoding import open_vae
from onetoall_cli.training.examples import Batch, Batches
from onetoall_cli.training.initial import Start, build_network, choose_trained, find_start, released_defaults
from onetoall_cli.training.latents import Stored, encode_reference, encode_window, no_reference
from onetoall_cli.training.lora import LORA_FILE, save_lora
from onetoall_cli.training.losses import flow_loss, noised
from onetoall_cli.training.opening import open_source, split_source
from onetoall_cli.training.optimisers import build_optimisers
from onetoall_cli.training.preparation import Progress
from onetoall_cli.training.recipe import RELEASED_TEXT_ROWS, BatchPlan, TrainingSettings
from onetoall_cli.training.settings import dump_settings
from onetoall_cli.training.sharding import part_of, shard, whole
from onetoall_cli.training.sheets import write_sample_sheet
from onetoall_cli.weights import PromptStore
from onetoall_cli.weights.text_encoder import prompt_rows

# The columns of `loss.csv`, after the step's number. `seconds` is last, since no run repeats it.
FIGURES = ("loss", "gradient", "lr", "validation", "seconds")
# Ways of accelerate to shard, which hide the weights from checkpoints and averages.
_FOREIGN = (DistributedType.FSDP, DistributedType.DEEPSPEED, DistributedType.MEGATRON_LM)
_NEXT_TO_NOTHING = 1e-20  # weight of a pose that is not given, where its layers have to run


def train(
    settings: TrainingSettings,
    progress: Progress | None = None,
    data_progress: Progress | None = None,
    note: Callable[[str], None] | None = None,
) -> Path:
    """Train a stage to its last step, continuing from the newest checkpoint in `settings.output`.

    The run's folder gets `checkpoints/`, `loss.csv` (one row for each step), `samples/*.png`, `settings.yaml`, and at
    the end `network/`: the averaged network in diffusers' layout (float32), for the next stage's `init_from`.

    Args:
        settings: The run's settings.
        progress: Called with (steps done, all steps) after each step.
        data_progress: Called with (videos done, all videos) while the poses of a folder are detected.
        note: Called with lines on what was found in the data.

    Returns:
        The folder of the finished network, or the LoRA's file.

    Raises:
        BadInput: The settings, the data or a checkpoint do not fit together.
        ModelMissing: The VAE is missing.
    """
    if settings.threads:
        torch.set_num_threads(settings.threads)
    trainer = Trainer(settings, data_progress, note)
    if trainer.accelerator.is_main_process:
        settings.output.mkdir(parents=True, exist_ok=True)
        with whole_file(settings.output / "settings.yaml") as temporary:
            temporary.write_text(dump_settings(settings), encoding="utf-8")
    trainer.run(progress)
    return trainer.finish()


class EncodedBatch(NamedTuple):
    """A micro-batch on the device, still without noise and times.

    Attributes:
        plan: The settings that its samples share.
        clean: Target latents, (B, 16, n, h, w).
        reference: Reference latents, (B, 32, 1, h, w).
        pose, reference_pose: Drawn poses (B, 3, T or 1, H, W) in [-1, 1]; None where no pose is given.
        weights: Weights of the loss, (B, 1, n, h, w).
    """

    plan: BatchPlan
    clean: Tensor
    reference: Tensor
    pose: Tensor | None
    reference_pose: Tensor | None
    weights: Tensor


class Trainer:
    """One process of a run: network, optimisers, averaged weights, data and the current step."""

    def __init__(
        self,
        settings: TrainingSettings,
        data_progress: Progress | None = None,
        note: Callable[[str], None] | None = None,
    ) -> None:
        self.settings = settings
        self.accelerator = Accelerator(
            # accelerate uses several CPU processes only with this flag.
            cpu=not torch.accelerator.is_available(),
            mixed_precision="bf16" if settings.bf16 else "no",
            gradient_accumulation_steps=settings.accumulate,
            # Batches without a pose leave the pose branch out of the graph.
            kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
        )
        if self.accelerator.distributed_type in _FOREIGN:
            problem = f"Accelerate was told to shard the network by itself ({self.accelerator.distributed_type.value})."
            raise BadInput(problem, "Launch without that, and write `shard: true` into the config.")
        device = self.accelerator.device
        start = find_start(settings.init_from)
        self.vae, self.cache = open_vae(settings, start, device)
        told = note if self.accelerator.is_main_process else None
        self.source = open_source(settings, self.cache, data_progress, told)
        if settings.validate_every:
            self.source, self.held_out = split_source(self.source, settings)
        network = trainable_network(settings, start)
        _check_sizes(network.config, self.vae.config)
        self.text = empty_prompt(settings, start, network.config["text_dim"]).to(device)
        if settings.gradient_checkpointing:
            network.enable_gradient_checkpointing()
        encoder = network.pose_encoder
        if settings.echo > 1 and not any(parameter.requires_grad for parameter in encoder.parameters()):
            # Echoes of a batch hold the same pose tensors, so the frozen encoder's output can be cached.
            encoder.forward = lru_cache(maxsize=2)(encoder.forward)  # type: ignore[method-assign]
        self.step = 0
        self.is_sharded = settings.shard and torch.distributed.is_initialized()
        self.plain_network = (shard(network, device) if self.is_sharded else network.to(device)).train()
        self.average = Average(self.plain_network, settings.ema)
        optimisers = build_optimisers(network, settings)
        self.network = network if self.is_sharded else self.accelerator.prepare(network)
        self.optimisers = [self.accelerator.prepare(optimiser) for optimiser in optimisers]
        folder = latest_checkpoint(settings.output)
        if folder:
            self._restore(load_checkpoint(folder))

    def run(self, progress: Progress | None = None) -> None:
        """Do all remaining steps."""
        settings, main = self.settings, self.accelerator.is_main_process
        log = LossLog(settings.output / "loss.csv", FIGURES, self.step) if main else None
        board = Board(settings.output / "tensorboard", self.step) if main and settings.tensorboard else None
        batches = self._batches()
        for _ in range(self.step, settings.steps):
            started = time.perf_counter()
            figures: dict[str, float | None] = {**self._step(batches), "seconds": time.perf_counter() - started}
            is_measured = settings.validate_every and self.step % settings.validate_every == 0
            figures["validation"] = self.validation_loss() if is_measured else None
            for each in (log, board):
                if each:
                    each.add(self.step - 1, **figures)
            if progress:
                progress(self.step, settings.steps)
            self._keep_records()
        if board:
            board.close()

    def finish(self) -> Path:
        """Save the result, as `network/` or as a LoRA."""
        settings, main = self.settings, self.accelerator.is_main_process
        is_lora = settings.train == "lora"
        path = settings.output / (LORA_FILE if is_lora else "network")
        self.accelerator.wait_for_everyone()
        result = self.average.values if settings.ema else self._trained()
        reached = whole(result if is_lora else {**self.plain_network.state_dict(), **result}, keep=main)
        if main and is_lora:
            save_lora(reached, settings.lora, path)
        elif main:
            with torch.device("meta"):
                network = OneToAllTransformer3DModel.from_config(self.plain_network.config)
            network.load_state_dict(reached, assign=True)
            with whole_folder(path, "network") as temporary:
                network.save_pretrained(temporary)
        return path

    # -- one step -----------------------------------------------------------------------------------------------

    def _step(self, batches: Iterator[tuple[int, EncodedBatch]]) -> dict[str, float]:
        """Do one optimiser step over `accumulate` micro-batches, and return the figures for the log."""
        settings = self.settings
        rate = settings.learning_rate(self.step)
        for group in (group for optimiser in self.optimisers for group in optimiser.param_groups):
            group["lr"] = rate
        losses, norm = [], 0.0
        for _ in range(settings.accumulate):
            number, inputs = next(batches)
            with self.accelerator.accumulate(self.network):
                loss = self.loss(inputs, number)
                self.accelerator.backward(loss)
                losses.append(loss.detach())
                if self.accelerator.sync_gradients:
                    found = self.accelerator.clip_grad_norm_(self.network.parameters(), settings.clip)
                    norm = float(found.full_tensor() if isinstance(found, DTensor) else found)
                for optimiser in self.optimisers:
                    optimiser.step()
                    optimiser.zero_grad()
        self.average.update(self.plain_network)
        self.step += 1
        mean = self.accelerator.reduce(torch.stack(losses).mean(), reduction="mean")
        return {"loss": mean.item(), "gradient": norm, "lr": rate}

    def loss(self, inputs: EncodedBatch, number: int) -> Tensor:
        """The loss of micro-step `number`, whose noise and times depend on (seed, number)."""
        plan, clean, pose, reference_pose = inputs.plan, inputs.clean, inputs.pose, inputs.reference_pose
        generator = torch.Generator().manual_seed(_noise_seed(self.settings.seed, number))
        settings = self.settings
        flow = noised(
            clean,
            generator,
            token_replace=plan.token_replace,
            timesteps=settings.timesteps,
            shift=settings.timestep_shift,
        )
        pose_scale = 0.0 if pose is None else 1.0
        if pose is None and self.is_sharded:
            # All processes have to run the same layers, for each gives its part of them to the others.
            frames, height, width = plan.frames, plan.height, plan.width
            pose_scale = _NEXT_TO_NOTHING
            pose, reference_pose = (clean.new_full((len(clean), 3, n, height, width), -1.0) for n in (frames, 1))
        with self.accelerator.autocast():
            velocity = self.network(
                flow.latents,
                flow.timestep,
                self.text.expand(len(clean), -1, -1),
                inputs.reference,
                pose,
                reference_pose,
                pose_scale=pose_scale,
                num_context_frames=flow.context,
                return_dict=False,
            )[0]
        return flow_loss(velocity, flow, inputs.weights, settings.loss_mean)

    @torch.no_grad()
    def validation_loss(self) -> float:
        """The loss of the averaged network on what is held out: each time of the same samples, noise and times."""
        processes, rank = self.accelerator.num_processes, self.accelerator.process_index
        batches = Batches(self.settings, self.held_out)
        rounds = -(-self.settings.validate_batches // processes)
        with self.average.applied(self.plain_network):
            losses = [
                self.loss(self.encoded(batches[number]), number)
                for number in range(rank, rounds * processes, processes)
            ]
        return float(self.accelerator.reduce(torch.stack(losses).mean(), reduction="mean"))

    def encoded(self, batch: Batch) -> EncodedBatch:
        """Encode a micro-batch, on the device."""
        device = self.accelerator.device
        clean = self._clean_latents(batch)
        reference = encode_reference(self.vae, to_tensor(batch.reference, device), batch.mask.to(device))
        if batch.plan.dropped in ("both", "reference"):
            reference = no_reference(self.vae, reference)
        pose = reference_pose = None
        if batch.pose is not None and batch.reference_pose is not None:
            pose = to_tensor(batch.pose, device)
            reference_pose = to_tensor(batch.reference_pose, device)
        return EncodedBatch(batch.plan, clean, reference, pose, reference_pose, batch.weights.to(device))

    def _clean_latents(self, batch: Batch) -> Tensor:
        """The target latents (B, 16, n, h, w), from the cache or encoded; both are rounded to float16."""
        values = []
        for frames, latents, key, keypoints in zip(
            batch.frames, batch.latents, batch.keys, batch.keypoints, strict=True
        ):
            if latents is None:
                assert frames is not None
                latents = encode_window(self.vae, frames)
                if key is not None:
                    self.cache.put(key, Stored(latents.cpu().numpy(), keypoints))
            values.append(latents.to(self.accelerator.device).float())
        return torch.stack(values)

    def _batches(self) -> Iterator[tuple[int, EncodedBatch]]:
        """Numbers and encoded batches of this process's micro-steps, from the current step on."""
        processes, rank = self.accelerator.num_processes, self.accelerator.process_index
        echo = self.settings.echo
        steps = range(self.step * self.settings.accumulate, self.settings.steps * self.settings.accumulate)
        echoes = [list(same) for _, same in groupby(steps, lambda step: step // echo)]
        loader = DataLoader(
            Batches(self.settings, self.source),
            batch_size=None,
            num_workers=self.settings.workers,
            sampler=[same[0] // echo * processes + rank for same in echoes],
            prefetch_factor=2 if self.settings.workers else None,
        )  # type: ignore[arg-type]
        for same, batch in zip(echoes, loader, strict=True):
            inputs = self.encoded(batch)
            yield from ((step * processes + rank, inputs) for step in same)

    # -- records ------------------------------------------------------------------------------------------------

    def _keep_records(self) -> None:
        settings, main = self.settings, self.accelerator.is_main_process
        if self.step % settings.checkpoint_every == 0 or self.step == settings.steps:
            checkpoint = self._checkpoint()
            if main:
                save_checkpoint(settings.output, checkpoint)
                prune_checkpoints(settings.output, settings.keep_checkpoints)
        if main and settings.sample_every and self.step % settings.sample_every == 0:
            path = settings.output / "samples" / f"step-{self.step:07d}.png"
            write_sample_sheet(path, self.plain_network, self.average, self.vae, self.text, self.source, settings)

    def _trained(self) -> dict[str, Tensor]:
        named = self.plain_network.named_parameters()
        return {name: parameter for name, parameter in named if parameter.requires_grad}

    def _checkpoint(self) -> Checkpoint:
        """A checkpoint of the trained parameters, empty in all processes but the main one; the others are as the run
        started."""
        parts = (self._trained(), self.average.values, optimiser_tensors(self.optimisers, self.plain_network))
        weights, average, optimiser = (whole(part, keep=self.accelerator.is_main_process) for part in parts)
        return Checkpoint(self.step, self.average.updates, weights=weights, average=average, optimiser=optimiser)

    def _restore(self, checkpoint: Checkpoint) -> None:
        trained = self._trained()
        if checkpoint.step > self.settings.steps:
            problem = (
                f"{self.settings.output} is at step {checkpoint.step}, beyond the {self.settings.steps} asked for."
            )
            raise BadInput(problem, "Raise `steps`, or choose another output folder.")
        if _shapes(checkpoint.weights) != _shapes(trained):
            problem = f"The checkpoint in {self.settings.output} trains other parameters than this config."
            raise BadInput(problem, "Resume with the run's own config; start another stage with init_from.")
        self.step = checkpoint.step
        self.average.restore(checkpoint)
        with torch.no_grad():
            for name, parameter in trained.items():
                parameter.copy_(part_of(checkpoint.weights[name], parameter))
        restore_optimisers(self.optimisers, self.plain_network, checkpoint.optimiser)


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in tensors.items()}


def _noise_seed(seed: int, number: int) -> int:
    return int(np.random.SeedSequence([seed, number, 1]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def trainable_network(settings: TrainingSettings, start: Start) -> OneToAllTransformer3DModel:
    """The initial network of a run, with gradients for what it trains: that in float32, the rest as it computes."""
    frozen = torch.bfloat16 if settings.bf16 else torch.float32
    network = build_network(
        settings.model,
        start,
        settings.seed,
        dtype=frozen if settings.train == "lora" else torch.float32,
        quantisation=settings.quantize,
    )
    choose_trained(network, settings)
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(torch.float32, copy=True)  # a copy: weights may be a file's, mapped
        elif parameter.is_floating_point() and not is_kept_wide(name):
            parameter.data = parameter.data.to(frozen)
    return network


def empty_prompt(settings: TrainingSettings, start: Start, channels: int) -> Tensor:
    """The embedding of the empty prompt, (1, rows, channels), zeros after its end: training has no other text.

    Raises:
        BadInput: The prompt store lacks it, or holds that of another text encoder.
        ModelMissing: It is not stored with the model, and the text encoder is not installed.
    """
    if settings.prompt_embeds is not None:
        found = PromptStore(settings.prompt_embeds).get("")
        if found is None:
            raise BadInput(
                f"{settings.prompt_embeds} does not hold the empty prompt.", "Store it with `onetoall prompt-embeds`."
            )
    else:
        found = prompt_rows(start.whole(), [""])[""] if start.knows_text else torch.zeros(0, channels)
    if found.shape[1] != channels:
        raise BadInput(f"The empty prompt has {found.shape[1]} channels, the network {channels}.", "Set text_dim.")
    rows = settings.text_rows or min(RELEASED_TEXT_ROWS, released_defaults(start).max_text_tokens)
    found = found[:rows].float()
    return torch.nn.functional.pad(found, (0, 0, 0, rows - len(found)))[None]


def _check_sizes(network: dict, vae: dict) -> None:
    if network["in_channels"] != vae["z_dim"]:
        raise BadInput(
            f"The network takes {network['in_channels']} latent channels, the VAE has {vae['z_dim']}.",
            "Set in_channels and out_channels to the VAE's.",
        )
