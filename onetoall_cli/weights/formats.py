"""Files that people have in place of a released checkpoint, told by their content: what they are, and what to do.

Read are safetensors with the released tensor names, in one file or several, in float32, float16, bfloat16 or plain fp8.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from onetoall_cli.errors import BadInput, ModelMissing

_TAKE_RELEASED = "Use the released weights (`onetoall fetch 1.3b`); --quantize int8 or nf4 makes them small."
_PICKLED = "pickled weights, which can run code when opened"
_CONVERT = "Convert them to safetensors, or use a repository that has them."

# How files that are no safetensors begin.
HEADS = {
    b"GGUF": ("a GGUF file, quantised for other programs", _TAKE_RELEASED),
    b"PK\x03\x04": (_PICKLED, _CONVERT),  # torch.save since 1.6
    b"\x80\x02": (_PICKLED, _CONVERT),  # before
}


@dataclass(frozen=True)
class Format:
    """A kind of safetensors file that is no network of ours.

    Attributes:
        title: What it is.
        is_it: Whether a file with these tensor names is one.
        advice: What to do.
    """

    title: str
    is_it: Callable[[Collection[str]], bool]
    advice: str


def _has_ending(*endings: str) -> Callable[[Collection[str]], bool]:
    return lambda names: any(name.endswith(endings) for name in names)


# The first that fits counts.
FORMATS = (
    Format(
        "a LoRA",
        lambda names: any("lora_" in name or ".lokr_" in name or ".hada_" in name for name in names),
        "Give it with --lora.",
    ),
    Format(
        "an fp8 file with scales, as node editors use it",
        _has_ending("scale_weight", "weight_scale", "scaled_fp8"),
        _TAKE_RELEASED,
    ),
    Format(
        "a network with Wan's own tensor names, as node editors repackage it",
        _has_ending("blocks.0.self_attn.q.weight"),
        _TAKE_RELEASED,
    ),
    Format(
        "Wan's text-to-video network, on which One-to-All is built",
        _has_ending("blocks.0.attn1.to_q.weight"),
        "Fetch a One-to-All model: `onetoall fetch 1.3b`.",
    ),
    Format(
        "a VAE",
        _has_ending("decoder.conv_in.weight", "decoder.conv1.weight"),
        "It comes with `onetoall fetch vae`; give a network.",
    ),
    Format(
        "a text encoder",
        _has_ending("encoder.block.0.layer.0.SelfAttention.q.weight", "blocks.0.attn.q.weight"),
        "It comes with `onetoall fetch text-encoder`; give a network.",
    ),
)


def refusal(source: Path, names: Collection[str]) -> ModelMissing:
    """Why safetensors with these tensor names are no network of ours."""
    for each in FORMATS:
        if each.is_it(names):
            return ModelMissing(f"{source} is {each.title}, and cannot be read as a One-to-All network.", each.advice)
    return ModelMissing(
        f"{source} does not hold the weights of a One-to-All network.",
        "Check which files are in it; `onetoall fetch --list` names the models that work.",
    )


def check_head(file: Path) -> None:
    """Refuse a file that is recognisably another format than safetensors.

    Raises:
        ModelMissing: It is; the message says what it is.
        BadInput: The user may not read it.
    """
    try:
        with open(file, "rb") as opened:
            head = opened.read(max(map(len, HEADS)))
    except PermissionError as error:
        raise BadInput(f"{file} may not be read.", "Change its permissions, or copy it.") from error
    for start, (title, advice) in HEADS.items():
        if head.startswith(start):
            raise ModelMissing(f"{file} is {title}.", advice)
