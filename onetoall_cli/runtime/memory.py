"""The memory model: estimates the peak memory of each phase of a segment from configurations, size and dtype.

Weights are counted on the meta device, where the convolutional parts (VAE, pose encoder) are also run and traced. The
denoiser's peak is the sum of its live tensors, counted in token sequences. `bench.memory` compares the estimates with
measurements.
"""

import functools
import json
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from onetoall_cli.lattice import CONTEXT_FRAMES, SIZE_MULTIPLE, latent_frames, latent_shape
from onetoall_cli.model import OneToAllTransformer3DModel
from onetoall_cli.model.attention import ATTENTION_ROWS, DEVICE_PIECE
from onetoall_cli.model.blocks import CPU_FEED_FORWARD_PIECE
from onetoall_cli.model.pose import PoseEncoder
from onetoall_cli.model.precision import is_kept_wide, quantisable_linears
from onetoall_cli.precisions import REDUCED, UNQUANTISED
from onetoall_cli.runtime.offloading import BLOCKS_ON_DEVICE
from onetoall_cli.runtime.traced_memory import traced_peak
from onetoall_cli.runtime.vae import decode_frames

if TYPE_CHECKING:
    from diffusers import AutoencoderKLWan

TILE = 256  # pixels, side of diffusers' default VAE tile
TILE_STRIDE = 192  # pixels from tile to tile; the rest is blended

# Factors for the copies that CPU convolution kernels make of their input and output, measured with `bench.memory`. The
# pose encoder's is 1 in bfloat16, because its trace counts float32 copies in the norms that CPU kernels do not make.
CPU_VAE = {torch.bfloat16: 1.15, torch.float16: 1.15, torch.float32: 1.4}
CPU_POSE = {torch.bfloat16: 1.0, torch.float16: 1.0, torch.float32: 1.45}

# Live token sequences (L x width) at the peak of a block's attention: its input, the normalised input, both queries,
# key, value and the attended values. In bfloat16 a CPU also makes a rearranged copy of the keys.
BLOCK_SEQUENCES = 7
CPU_NARROW_SEQUENCES = 1
# Besides them while processes exchange tokens for heads: query, key and value once more, and as they are sent.
EXCHANGED_SEQUENCES = 6
# Live token sequences while LLM.int8 computes the last of query, key and value.
INT8_SEQUENCES = 5
# Memory for dequantising an NF4 weight on a CPU (indices and float32 values), in units of its unquantised size.
CPU_NF4 = 5
# Live token sequences in the feed-forward: the block's input, the normalised and attended input, finished pieces.
FEED_FORWARD_SEQUENCES = 4
FLOAT_TEMPORARIES = 4  # float32 copies of a piece of tokens in the norms and gated sums


@dataclass(frozen=True)
class Workload:
    """The model and the size of a generation: all that memory depends on besides the plan.

    Attributes:
        network: The network's configuration (constructor arguments) as JSON, which can be compared and hashed.
        vae: The VAE's configuration as JSON.
        height, width: Size in pixels.
        frames: Frames of the longest segment, 4k + 1.
        text_rows: Rows of both prompts' embeddings without padding.
        references: Number of references that the passes use; 2 with the black one.
        overlap: Frames that a segment takes from the one before.
        token_shards: Among how many processes the tokens of a pass are divided.
    """

    network: str
    vae: str
    height: int
    width: int
    frames: int
    text_rows: int = 256
    references: int = 2
    overlap: int = CONTEXT_FRAMES
    token_shards: int = 1

    @property
    def network_config(self) -> dict[str, Any]:
        return json.loads(self.network)

    @property
    def video_pixels(self) -> int:
        return self.frames * self.height * self.width

    @property
    def frame_tokens(self) -> int:
        return (self.height // SIZE_MULTIPLE) * (self.width // SIZE_MULTIPLE)

    @property
    def tokens(self) -> int:
        """Tokens of the denoiser: those of the segment's latent frames and of the prefix."""
        return (latent_frames(self.frames) + 1) * self.frame_tokens


@dataclass(frozen=True)
class Estimate:
    """Estimated peak memory.

    Attributes:
        phases: Peak bytes on the device, weights included, of "conditions" (VAE encoding), "pose", "denoising" and
            "decoding".
        weights: Bytes of the weights that stay on the device all the time.
        host: Bytes of offloaded weights in main memory.
    """

    phases: Mapping[str, int]
    weights: int
    host: int

    @property
    def peak(self) -> int:
        return max(self.phases.values())


def config_json(config: Mapping[str, Any]) -> str:
    """A configuration as JSON, as in `Workload`."""
    return json.dumps({name: value for name, value in config.items() if not name.startswith("_")}, sort_keys=True)


def estimate(
    workload: Workload, *, device: str, dtype: torch.dtype, quantisation: str, offload: str, tiling: bool
) -> Estimate:
    """Estimate the peak memory of each phase.

    Args:
        workload: The model and the size.
        device: "cpu", "cuda" or "mps".
        dtype: Dtype of activations and unquantised weights.
        quantisation: Precision of the network: "none", or one of `precisions.REDUCED`.
        offload: "blocks": the network's weights are in main memory. "none": all weights are on the device.
        tiling: Whether the VAE works in tiles.
    """
    network = network_weights(workload.network, dtype, quantisation)
    vae = _vae_weights(workload.vae, dtype)
    on_device = network.largest_group if offload == "blocks" else network.total
    pose_video = 3 * workload.video_pixels * dtype.itemsize if device == "cpu" else 0  # lives until the segment ends
    height, width = (workload.height, workload.width)
    tile = (min(height, TILE), min(width, TILE)) if tiling else (height, width)
    conditions = _encoding(workload.vae, *tile, workload.overlap, device, dtype)
    decoded = _decoding(workload.vae, *tile, workload.frames, device, dtype)
    if tile != (height, width):
        decoded = _joining_tiles(workload, decoded, dtype)
    pose_tokens = workload.tokens * network.width * dtype.itemsize
    pose_encoder = _pose_encoding(network.pose_channels, height, width, workload.frames, device, dtype)
    kept = pose_video + _text(workload, dtype) + _rotary(workload)
    phases = {
        "conditions": on_device * (offload == "none") + vae + pose_video + conditions,
        "pose": on_device + vae + kept + max(pose_encoder, 3 * pose_tokens),
        "denoising": on_device + vae + kept + pose_tokens + _denoising(workload, device, dtype, quantisation),
        "decoding": on_device * (offload == "none") + vae + decoded,
    }
    resident = vae + (network.total if offload == "none" else 0)
    return Estimate(phases, resident, network.total if offload == "blocks" else 0)


@dataclass(frozen=True)
class NetworkWeights:
    """Bytes of a network's weights.

    Attributes:
        total: Bytes of all weights.
        largest_group: The most bytes on the device at once with offloaded blocks.
        largest_linear: Bytes of the largest linear layer, unquantised.
        width: Channels of a token.
        pose_channels: Channels of the pose encoder.
    """

    total: int
    largest_group: int
    largest_linear: int
    width: int
    pose_channels: int


@functools.lru_cache
def network_weights(config: str, dtype: torch.dtype, quantisation: str) -> NetworkWeights:
    """Count a network's weights on the meta device."""
    with torch.device("meta"):
        network = OneToAllTransformer3DModel.from_config(json.loads(config))
    quantised = quantisable_linears(network) if quantisation != UNQUANTISED else set()
    sizes: dict[str, int] = {}
    largest_linear = 0
    for name, tensor in network.state_dict().items():
        module, _, kind = name.rpartition(".")
        if module in quantised and kind == "weight":
            precision = REDUCED[quantisation]
            sizes[name] = int(tensor.numel() * precision.weight_bytes) + precision.row_bytes * tensor.shape[0]
        else:
            sizes[name] = tensor.numel() * (4 if is_kept_wide(name) else dtype.itemsize)
        if tensor.ndim == 2:
            largest_linear = max(largest_linear, tensor.numel() * dtype.itemsize)
    width = network.config["num_attention_heads"] * network.config["attention_head_dim"]
    group = _largest_group(network, sizes)
    return NetworkWeights(sum(sizes.values()), group, largest_linear, width, network.config["pose_channels"])


def _largest_group(network: OneToAllTransformer3DModel, sizes: Mapping[str, int]) -> int:
    """Bytes that group offloading holds on the device: denoiser blocks, and modules outside all blocks."""
    block = sum(size for name, size in sizes.items() if name.startswith("blocks.0."))
    grouped = ("blocks", *network._group_offload_block_modules, "text_keys")
    loose = sum(size for name, size in sizes.items() if name.split(".")[0] not in grouped)
    return BLOCKS_ON_DEVICE * block + loose


@contextmanager
def _default_dtype(dtype: torch.dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _empty_vae(config: str, dtype: torch.dtype) -> "AutoencoderKLWan":
    from diffusers import AutoencoderKLWan

    with torch.device("meta"), _default_dtype(dtype):
        return AutoencoderKLWan.from_config(json.loads(config))


@functools.lru_cache
def _vae_weights(config: str, dtype: torch.dtype) -> int:
    return sum(weight.nbytes for weight in _empty_vae(config, dtype).parameters())


@functools.lru_cache
def _encoding(vae: str, height: int, width: int, frames: int, device: str, dtype: torch.dtype) -> int:
    """Peak bytes of the VAE while it encodes the carried frames, the most at once."""
    model = _empty_vae(vae, dtype)
    with torch.device("meta"):
        pictures = torch.empty(1, 3, frames, height, width, dtype=dtype)
        taken = traced_peak(lambda: model.encode(pictures))
    return int(taken * (CPU_VAE[dtype] if device == "cpu" else 1))


@functools.lru_cache
def _decoding(vae: str, height: int, width: int, frames: int, device: str, dtype: torch.dtype) -> int:
    """Peak bytes of the VAE while it decodes; all latent frames from the third on take the same."""
    model = _empty_vae(vae, dtype)
    several, rows, columns = latent_shape(frames, height, width)
    with torch.device("meta"):
        latents = torch.empty(1, model.config.z_dim, min(3, several), rows, columns)
        taken = traced_peak(lambda: [None for _ in decode_frames(model, latents)])
    return int(taken * (CPU_VAE[dtype] if device == "cpu" else 1))


def _joining_tiles(workload: Workload, one_tile: int, dtype: torch.dtype) -> int:
    """Peak bytes of tiled decoding: diffusers keeps all tiles with their overlaps, and the joined frames twice."""
    frames = 3 * workload.video_pixels * dtype.itemsize
    tiles = int(frames * (TILE / TILE_STRIDE) ** 2)
    return max(one_tile + tiles, tiles + 2 * frames)


@functools.lru_cache
def _pose_encoding(channels: int, height: int, width: int, frames: int, device: str, dtype: torch.dtype) -> int:
    """Peak bytes of the pose encoder's convolutions, input included; its tokens are counted elsewhere."""
    with torch.device("meta"), _default_dtype(dtype):
        encoder = PoseEncoder(channels, channels)
        video = torch.empty(1, 3, frames, height, width)
        taken = traced_peak(lambda: encoder(video))
    # on a CPU `pose_video` counts the input
    return int(taken * CPU_POSE[dtype]) if device == "cpu" else taken + video.nbytes


def _denoising(workload: Workload, device: str, dtype: torch.dtype, quantisation: str) -> int:
    """Peak bytes of one step: a pass at its peak, the reference features and the latents."""
    config = workload.network_config
    weights = network_weights(workload.network, dtype, quantisation)
    tokens = -(-workload.tokens // workload.token_shards)  # of this process
    sequence = tokens * weights.width * dtype.itemsize
    features = (
        workload.references
        * (config["num_reference_layers"] + 1)
        * workload.frame_tokens
        * weights.width
        * dtype.itemsize
    )
    latents = 6 * 16 * (workload.tokens * 4) * 4  # float32 (1, 16, n, h, w): noise, velocities, the step's result
    piece = min(tokens, CPU_FEED_FORWARD_PIECE if device == "cpu" else DEVICE_PIECE)
    temporaries = 0 if device == "cpu" else FLOAT_TEMPORARIES * piece * weights.width * 4
    hidden = piece * (2 * config["ffn_dim"] + 2 * weights.width) * dtype.itemsize
    # In the refiner's last block live the tokens, its own input and the residuals of the blocks before.
    poses = config["num_pose_layers"] * sequence
    in_refiner = poses + (sequence if config["num_pose_layers"] > 1 else 0)
    attention = (BLOCK_SEQUENCES + (EXCHANGED_SEQUENCES if workload.token_shards > 1 else 0)) * sequence
    if device == "cpu" and dtype != torch.float32:
        logits = ATTENTION_ROWS * workload.tokens * dtype.itemsize  # and as many weights
        attention += CPU_NARROW_SEQUENCES * sequence + 2 * logits
    feed_forward = FEED_FORWARD_SEQUENCES * sequence + hidden
    if quantisation == "int8":
        making_values = _int8_product(tokens, weights.width, weights.width, device)
        attention = max(attention, INT8_SEQUENCES * sequence + making_values)
        feed_forward += _int8_product(piece, config["ffn_dim"], weights.width, device)
    elif quantisation in ("fp8", "nf4"):
        dequantising = weights.largest_linear * (CPU_NF4 if device == "cpu" and quantisation == "nf4" else 1)
        attention, feed_forward = attention + dequantising, feed_forward + dequantising
    return features + latents + temporaries + max(attention + poses, feed_forward + in_refiner)


def _int8_product(tokens: int, inputs: int, outputs: int, device: str) -> int:
    """Bytes that LLM.int8 allocates for a linear layer, its result included.

    These are the input in float16 and int8 and the product in int32 and float16; on a CPU also input, weight and
    product in float32.
    """
    taken = tokens * (3 * inputs + 6 * outputs)
    return taken + 4 * (tokens * inputs + inputs * outputs + tokens * outputs) if device == "cpu" else taken


def _text(workload: Workload, dtype: torch.dtype) -> int:
    """Bytes of the prompts' keys and values for all blocks."""
    config = workload.network_config
    width = config["num_attention_heads"] * config["attention_head_dim"]
    return 2 * workload.text_rows * width * config["num_layers"] * dtype.itemsize


def _rotary(workload: Workload) -> int:
    """Bytes of two float32 tables of cosines and sines."""
    return 4 * workload.tokens * workload.network_config["attention_head_dim"] * 4
