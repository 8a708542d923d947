"""Networks with random weights of known shapes, and random inputs of any size."""

import math
from dataclasses import dataclass
from typing import Any

import torch

from onetoall_cli.lattice import latent_shape
from onetoall_cli.model import CONFIG_1_3B, CONFIG_14B, OneToAllTransformer3DModel
from onetoall_cli.model.precision import is_kept_wide
from onetoall_cli.sampling.guidance import Pass, guidance_weights

SHAPES: dict[str, dict[str, Any]] = {
    "1.3b": CONFIG_1_3B,
    "14b": CONFIG_14B,
    "mid": {
        **CONFIG_1_3B,
        "num_attention_heads": 6,
        "ffn_dim": 3072,
        "num_layers": 12,
        "num_reference_layers": 6,
    },
    "tiny": {
        **CONFIG_1_3B,
        "num_attention_heads": 4,
        "attention_head_dim": 64,
        "text_dim": 64,
        "ffn_dim": 1024,
        "num_layers": 8,
        "num_reference_layers": 4,
    },
}
TEXT_ROWS = 512  # rows of a prompt's embedding in the released models
PROMPT_TOKENS = {
    False: 1,
    True: 40,
}  # rows without padding by Pass.negative: an empty prompt, the released negative one
GUIDANCE = (2.5, 1.5)  # released for the 1.3B: three passes a step
POOL = 1 << 24  # random numbers, which the weights repeat


def random_network(
    shape: str | dict[str, Any], dtype: torch.dtype, device: torch.device | str = "cpu"
) -> OneToAllTransformer3DModel:
    """A network of one of `SHAPES` (or a configuration) with random weights, also where training starts from zero.

    Dtypes are those of a loaded model. No weight is allocated twice.
    """
    with torch.device("meta"):
        network = OneToAllTransformer3DModel(**(SHAPES[shape] if isinstance(shape, str) else shape))
    pool = torch.randn(POOL, generator=torch.Generator().manual_seed(0))
    for number, (name, meta) in enumerate(network.named_parameters()):
        values = torch.empty(meta.shape, dtype=torch.float32 if is_kept_wide(name) else dtype, device=device)
        fan_in = math.prod(meta.shape[1:]) or 1
        spread = 0.02 if meta.ndim == 1 else fan_in**-0.5
        offset = 1.0 if meta.ndim == 1 and name.endswith("weight") else 0.0  # of a norm
        flat = values.flatten()
        for start in range(0, flat.numel(), POOL // 2):
            piece = flat[start : start + POOL // 2]
            first = (number + start) * 7919 % (POOL // 2)
            piece.copy_(pool[first : first + len(piece)] * spread + offset)
        owner, _, leaf = name.rpartition(".")
        network.get_submodule(owner).register_parameter(leaf, torch.nn.Parameter(values, requires_grad=False))
    return network.eval()


@dataclass(frozen=True)
class SegmentInputs:
    """One segment's inputs on the device, not encoded yet.

    Attributes:
        latents: Noisy latents, (1, 16, n, h, w).
        references: Reference latents by Pass.reference, (1, 32, 1, h, w).
        texts: Text embeddings by Pass.negative, (1, 512, text_dim), zero after the prompt.
        pose_video: Driving poses, (1, 3, T, H, W).
        reference_pose: The reference's pose, (1, 3, 1, H, W).
        context_frames: Latent frames at the start that are clean (token replace).
        weights: The passes of a step with their weights.
    """

    latents: torch.Tensor
    references: dict[bool, torch.Tensor]
    texts: dict[bool, torch.Tensor]
    pose_video: torch.Tensor
    reference_pose: torch.Tensor
    context_frames: int
    weights: dict[Pass, float]


def random_inputs(
    network: OneToAllTransformer3DModel, width: int, height: int, frames: int, *, context_frames: int = 0
) -> SegmentInputs:
    """Random inputs of a segment of `frames` (4k + 1) frames of `width` x `height` pixels (multiples of 16)."""
    generator = torch.Generator().manual_seed(0)
    device, dtype = network.device, network.dtype
    n, h, w = latent_shape(frames, height, width)

    def drawn(*size: int) -> torch.Tensor:
        return torch.randn(size, generator=generator).to(device, dtype)

    def prompt(tokens: int) -> torch.Tensor:
        text = torch.zeros(1, TEXT_ROWS, network.config["text_dim"], device=device, dtype=dtype)
        text[:, :tokens] = drawn(1, tokens, network.config["text_dim"])
        return text

    return SegmentInputs(
        latents=drawn(1, 16, n, h, w),
        references={known: drawn(1, 32, 1, h, w) for known in (True, False)},
        texts={negative: prompt(tokens) for negative, tokens in PROMPT_TOKENS.items()},
        pose_video=drawn(1, 3, frames, height, width).clamp(-1, 1),
        reference_pose=drawn(1, 3, 1, height, width).clamp(-1, 1),
        context_frames=context_frames,
        weights=guidance_weights(*GUIDANCE),
    )
