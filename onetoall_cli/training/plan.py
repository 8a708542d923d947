"""What a training run needs, before it begins: trained parameters, memory by part, disk, time, and what would fit.

Shapes are followed on the meta device, so neither weights nor a GPU are needed. Estimates for one device, without the
reserve that allocators keep.
"""

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from onetoall_cli.errors import BadInput, OnetoallError
from onetoall_cli.hub import load_catalogue
from onetoall_cli.lattice import SPATIAL_STRIDE, TEMPORAL_STRIDE, latent_shape
from onetoall_cli.media import open_video
from onetoall_cli.model import OneToAllTransformer3DModel
from onetoall_cli.model.attention import AttentionKernel
from onetoall_cli.model.precision import is_kept_wide, quantisable_linears
from onetoall_cli.model.prepared import Prepared
from onetoall_cli.precisions import QUANTISED
from onetoall_cli.runtime.machine import Memory
from onetoall_cli.runtime.traced_memory import LiveBytes
from onetoall_cli.training.initial import choose_trained, find_start
from onetoall_cli.training.recipe import Resolution, TrainingSettings, own_rate
from onetoall_cli.training.videos import video_files
from onetoall_cli.weights.architecture import network_config
from onetoall_cli.weights.network import empty_network

GB = 10**9
VAE_BYTES = 0.25 * GB  # Wan2.1's VAE in bfloat16
_FLOAT = 4
_NARROW = torch.bfloat16
# Passes of the probe grow until one takes long enough to be timed.
_PROBE_TOKENS, _PROBE_SECONDS = (64, 512, 4096), 0.2


@dataclass(frozen=True)
class TrainingPlan:
    """What a run needs.

    Attributes:
        total: Parameters of the network.
        trained: Those that are trained, LoRA included.
        memory: Bytes on the device by part.
        checkpoint: Bytes of a checkpoint on disk.
        window: Bytes of a cached window of the largest bucket.
        operations: Floating-point operations of a step, forward and backward.
        largest: Width, height and frames of the largest sample.
    """

    total: int
    trained: int
    memory: Mapping[str, int]
    checkpoint: int
    window: int
    operations: float
    largest: tuple[int, int, int]

    @property
    def peak(self) -> int:
        """Bytes on the device."""
        return sum(self.memory.values())


class _KeptAttention(torch.autograd.Function):
    """Attention as a fused kernel has it in memory: it keeps query, key, value and result, and no table of weights."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        result = torch.empty_like(query)
        ctx.save_for_backward(query, key, value, result)
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return tuple(torch.empty_like(each) for each in ctx.saved_tensors[:3])


class _FusedAttention(AttentionKernel):
    """Stands in for the attention kernel on the meta device."""

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, log_weights: Tensor | None = None) -> Tensor:
        result: Tensor = _KeptAttention.apply(query, key, value)
        return result.flatten(2, 3)


def plan_training(settings: TrainingSettings) -> TrainingPlan:
    """Plan a run.

    Raises:
        BadInput: The settings do not fit the network.
        ModelMissing: The model to start from is not known, or damaged.
    """
    config = _config(settings)
    network = _structure(config, settings)
    quantised = quantisable_linears(network) if settings.quantize != "none" else set()
    total = sum(parameter.numel() for parameter in network.parameters())
    names = choose_trained(network, settings)
    trained = sum(each.numel() for name, each in network.named_parameters() if name in names)
    frozen = sum(
        _frozen_bytes(name, each, settings, quantised) for name, each in network.named_parameters() if name not in names
    )
    width, height = max((each.size(aspect) for each in settings.sizes for aspect in settings.aspects), key=math.prod)
    activations = _activations(config, settings, width, height)
    memory = {
        "frozen weights": frozen,
        "trained weights": _FLOAT * trained,
        "their copy in bfloat16": _NARROW.itemsize * trained * settings.bf16,
        "gradients": _FLOAT * trained,
        "optimiser": 2 * _FLOAT * trained,
        "average": _FLOAT * trained * (settings.ema > 0),
        "VAE": int(VAE_BYTES),
        "activations": int(activations),
    }
    return TrainingPlan(
        total,
        trained,
        memory,
        checkpoint=(3 + (settings.ema > 0)) * _FLOAT * trained,
        window=2 * 16 * math.prod(latent_shape(settings.frames, height, width)),
        operations=_operations(network, settings, width, height, trained / total),
        largest=(width, height, settings.frames),
    )


def _structure(config: Mapping[str, Any], settings: TrainingSettings) -> OneToAllTransformer3DModel:
    """A network on the meta device, in the dtype it computes in."""
    with torch.device("meta"):
        network = OneToAllTransformer3DModel.from_config(dict(config))
    for name, parameter in network.named_parameters():
        if settings.bf16 and not is_kept_wide(name):
            parameter.data = parameter.data.to(_NARROW)
    if settings.gradient_checkpointing:
        network.enable_gradient_checkpointing()
    return network.train()


def _config(settings: TrainingSettings) -> Mapping[str, Any]:
    """Constructor arguments of a run's network; of a model of the catalogue also before it is fetched."""
    entry = load_catalogue().entries.get(settings.init_from or "")
    if entry is not None and entry.architecture is not None:
        return entry.architecture
    start = find_start(settings.init_from)
    if start.kind in ("random", "wan"):
        if settings.model is None:
            raise BadInput("Wan weights need the setting `model`.", "Add their sizes.")
        return settings.model.model_dump()
    assert start.network is not None
    location = start.location
    config = network_config(location) if location is not None and location.transformer == start.network else None
    return dict(empty_network(start.network, config).config)


def _frozen_bytes(name: str, parameter: nn.Parameter, settings: TrainingSettings, quantised: set[str]) -> int:
    module, _, kind = name.replace(".base_layer.", ".").rpartition(".")
    if module in quantised and kind == "weight":
        precision = QUANTISED[settings.quantize]
        return int(parameter.numel() * precision.weight_bytes) + precision.row_bytes * parameter.shape[0]
    return parameter.numel() * parameter.element_size()


def _activations(config: Mapping[str, Any], settings: TrainingSettings, width: int, height: int) -> int:
    """Peak bytes of activations in a micro-step of the largest bucket.

    Blocks are all alike: a shallow network is followed, and what its last blocks keep is multiplied.
    """
    layers, reference = config["num_layers"], config["num_reference_layers"]
    plain = config["num_pose_layers"] + 1  # the first block that takes nothing from the pose
    followed = {"num_layers": min(layers, plain + 2), "num_reference_layers": min(reference, 2)}
    network = _structure({**config, **followed}, settings)
    choose_trained(network, settings)
    for module in network.modules():
        if hasattr(module, "processor"):
            module.processor = _FusedAttention()
    for parameter in network.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.empty_like(parameter)  # counted as a part of its own
    sides = (network.blocks, network.reference_extractor.blocks)
    after: dict[nn.Module, int] = {}  # live bytes after each block's first pass
    peaks: list[int] = []  # before the denoiser's blocks, and in them until the last one's gradients, if any, are there
    with torch.enable_grad(), LiveBytes() as memory:

        def begin(*_: Any) -> None:
            if not peaks:
                peaks.append(memory.peak)
                memory.peak = memory.live

        def end(block: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            if inputs[0].requires_grad and len(peaks) == 1:
                inputs[0].register_hook(lambda _: peaks.append(memory.peak))

        for block in (block for side in sides for block in side):
            block.register_forward_hook(lambda block, *_: after.setdefault(block, memory.live) and None)
        network.blocks[0].register_forward_pre_hook(begin)
        network.blocks[-1].register_forward_pre_hook(end)
        _one_pass(network, settings, width, height)
    denoiser, extractor = (
        (wanted - len(side)) * (after[side[-1]] - after[side[-2]]) if len(side) < wanted else 0
        for side, wanted in zip(sides, (layers, reference), strict=True)
    )
    return max(peaks[0], memory.peak, peaks[-1] + denoiser) + extractor


def _operations(
    network: OneToAllTransformer3DModel, settings: TrainingSettings, width: int, height: int, trained: float
) -> float:
    """Floating-point operations of a step: those of the blocks, forward and backward."""
    frames, rows, columns = latent_shape(settings.frames, height, width)
    picture = rows * columns // 4
    tokens = (frames + 1) * picture
    channels = network.config["num_attention_heads"] * network.config["attention_head_dim"]

    def blocks(module: nn.Module, tokens: int, attended: int) -> float:
        weights = sum(parameter.numel() for parameter in module.parameters() if parameter.ndim == 2)
        return 2.0 * weights * tokens + 4.0 * len(module) * tokens * attended * channels  # type: ignore[arg-type]

    forward = (
        blocks(network.blocks, tokens, tokens + picture)
        + blocks(network.reference_extractor.blocks, picture, picture)  # type: ignore[arg-type]
        + blocks(network.pose_refiner.blocks, tokens, tokens)  # type: ignore[arg-type]
    )
    passes = 1 + settings.gradient_checkpointing + 1 + trained  # forward, again, gradients of inputs and of weights
    return forward * passes * settings.batch * settings.accumulate


def _one_pass(network: OneToAllTransformer3DModel, settings: TrainingSettings, width: int, height: int) -> None:
    """Forward and backward of a micro-batch on the meta device."""
    batch = settings.batch
    frames, rows, columns = latent_shape(settings.frames, height, width)
    dtype = _NARROW if settings.bf16 else torch.float32
    channels = network.config["in_channels"]
    with torch.device("meta"):
        latents = torch.empty(batch, channels, frames, rows, columns, dtype=dtype)
        reference = torch.empty(batch, 2 * channels, 1, rows, columns, dtype=dtype)
        times = torch.empty(batch)
        text = torch.empty(batch, 1, network.config["text_dim"], dtype=dtype)
        length = TEMPORAL_STRIDE * (frames - 1) + 1
        poses = [
            torch.empty(batch, 3, count, rows * SPATIAL_STRIDE, columns * SPATIAL_STRIDE, dtype=dtype)
            for count in (length, 1)
        ]
        rotary = network.rotary_tables(frames + 1, rows, columns, torch.device("meta"))
        embedded = network.text_embedding(text)
        prepared = Prepared(
            text=tuple(keys(embedded, None) for keys in network.text_keys),
            reference_features=network.extract_reference(reference, times, rotary),
            prefix=network.encode_prefix(reference),
            rotary=rotary,
            pose=network.encode_pose(*poses),
        )
        velocity = network(latents, times, prepared=prepared, return_dict=False)[0]
        velocity.float().square().mean().backward()


def alternatives(settings: TrainingSettings) -> Iterator[tuple[str, TrainingSettings]]:
    """Changes that need less memory, the mildest first, each with those before it: what to write, and the settings."""
    changes: list[tuple[str, dict[str, Any]]] = []
    if not settings.gradient_checkpointing:
        changes.append(("gradient_checkpointing: true", {"gradient_checkpointing": True}))
    if settings.batch > 1:
        more = settings.accumulate * settings.batch
        changes.append((f"batch: 1, accumulate: {more}", {"batch": 1, "accumulate": more}))
    if any(each.least_side > 512 for each in settings.sizes):
        changes.append(("resolutions: [{area: 512}]", {"resolutions": (Resolution(area=512),)}))
    if settings.train != "lora" and settings.init_from:
        changes.append(("train: lora", {"train": "lora"}))
    if settings.quantize == "none" and settings.init_from:
        changes.append(("quantize: nf4", {"train": "lora", "quantize": "nf4"}))
    if settings.frames > 13:
        changes.append(("frames: 13", {"frames": 13}))
    written: list[str] = []
    for text, change in changes:
        written.append(text)
        settings = settings.changed(**change)
        yield ", ".join(written), settings


def what_fits(settings: TrainingSettings, free: int) -> str | None:
    """The mildest change under which a run fits into `free` bytes; None if none of them does."""
    for text, changed in alternatives(settings):
        try:
            if plan_training(changed).peak <= free:
                return text
        except OnetoallError:
            continue
    return None


def probed_rate(settings: TrainingSettings, device: torch.device) -> float:
    """Operations a second that this device reaches in one of the network's blocks, forward and backward."""
    config = _config(settings)
    heads, head_dim = config["num_attention_heads"], config["attention_head_dim"]
    width, dtype = heads * head_dim, _NARROW if settings.bf16 else torch.float32
    with torch.device("meta"):
        linears = nn.Sequential(
            nn.Linear(width, config["ffn_dim"]), nn.GELU("tanh"), nn.Linear(config["ffn_dim"], width)
        )
    linears = linears.to(dtype).to_empty(device=device)
    for parameter in linears.parameters():
        nn.init.constant_(parameter, 1 / width)

    def timed(tokens: int) -> tuple[float, int]:
        """Seconds and operations of a pass."""
        hidden = torch.randn(1, tokens, width, device=device, dtype=dtype, requires_grad=True)
        began = time.perf_counter()
        with FlopCounterMode(display=False) as flops:
            query = linears(hidden).unflatten(-1, (heads, head_dim)).transpose(1, 2)
            nn.functional.scaled_dot_product_attention(query, query, query).sum().backward()
        if device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - began, flops.get_total_flops()

    timed(_PROBE_TOKENS[0])  # warms up
    for tokens in _PROBE_TOKENS:
        seconds, operations = timed(tokens)
        if seconds > _PROBE_SECONDS:
            break
    return operations / seconds


def data_size(settings: TrainingSettings, window: int) -> int | None:
    """Bytes that the latents of a folder of videos will take in the cache; None for other data.

    Raises:
        BadInput: The folder holds no videos.
    """
    if settings.data.source != "videos" or settings.data.folder is None:
        return None
    windows = 0.0
    for file in video_files(settings.data.folder):
        with suppress(BadInput):  # the preparation names it
            video = open_video(file)
            fps = settings.fps or own_rate(float(video.fps))
            windows += 2 * fps * float(video.duration or 0) / settings.frames
    return int(windows * window)


def described(settings: TrainingSettings, plan: TrainingPlan, rate: float, memory: Memory) -> str:
    """A plan in prose, a line for each question."""
    width, height, frames = plan.largest
    parts = ", ".join(f"{name} {size / GB:.1f}" for name, size in plan.memory.items() if size)
    seconds = plan.operations / rate
    lines = [
        f"Trains {plan.trained / 1e6:,.1f} M of {plan.total / 1e6:,.0f} M parameters.",
        f"Memory: about {plan.peak / GB:.1f} GB for {width} x {height}, {frames} frames ({parts}).",
        f"Disk: {plan.checkpoint / GB:.2f} GB a checkpoint, {settings.keep_checkpoints or 'all'} kept; "
        f"up to {plan.window / 1e6:.2f} MB a cached window.",
        f"Time: about {seconds:.2g} s a step at this machine's {rate / 1e12:.2g} TFLOP/s, "
        f"{seconds * settings.steps / 3600:.2g} h for {settings.steps} steps, without data and VAE.",
    ]
    size = data_size(settings, plan.window)
    if size is not None:
        lines[2] += f" About {size / GB:.2f} GB for this folder."
    if plan.peak > memory.free:
        change = what_fits(settings, memory.free)
        advice = f"This would fit: {change}." if change else "No setting makes it fit."
        lines.append(f"It does not fit {memory.device}, which has {memory.free / GB:.1f} GB free. {advice}")
    return "\n".join(lines)
