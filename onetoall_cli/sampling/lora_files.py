"""What a LoRA file says, read without a network: its keys put together into changes of named modules.

The file is checked as it is read: whole, finite, and something in it is a LoRA.
"""

import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open

from onetoall_cli.errors import BadInput
from onetoall_cli.files.documents import parse_json, read_document
from onetoall_cli.files.forms import ForeignForm, check

# What stands before a module's name in published files, also twice (`transformer.base_model.model.`): diffusers,
# peft, ComfyUI, DiffSynth (`pipe.dit.`), musubi and kohya, VideoX-Fun (`lora_unet__`), OneTrainer, LyCORIS.
_PREFIX = re.compile(
    r"^(?:(?:model\.diffusion_model|diffusion_model|transformer|base_model\.model|pipe\.dit)\."
    r"|lora_unet__?|lora_transformer_|lycoris_)+"
)
_PARTS = (
    (re.compile(r"\.lora[._](?:down|A)(?:\.\w+)?\.weight$"), "down"),
    (re.compile(r"\.lora[._](?:up|B)(?:\.\w+)?\.weight$"), "up"),
    (re.compile(r"\.lora[._](?:up|B)(?:\.\w+)?\.bias$"), "up_bias"),
    (re.compile(r"\.(alpha|diff|diff_b|diff_m|lokr_w[12](?:_[ab])?)$"), None),  # None: the part is called so
)
# Where trainers keep what peft's configuration says: diffusers; finetrainers, in the header; peft, beside the file.
_HEADER_KEYS = ("lora_adapter_metadata", "lora_config")
_PEFT_NAME, _PEFT_CONFIG = "adapter_model.safetensors", "adapter_config.json"


class LowRank(NamedTuple):
    """A change of a weight matrix: scale * up @ down."""

    down: torch.Tensor  # (rank, in, ...)
    up: torch.Tensor  # (out, rank, ...)
    scale: float

    def full(self, shape: torch.Size) -> torch.Tensor:
        """As float32 of the weight's `shape`."""
        return (self.scale * (self.up.float().flatten(1) @ self.down.float().flatten(1))).reshape(shape)

    def fits(self, shape: torch.Size) -> bool:
        return self.up.shape[0] == shape[0] and self.down.shape[1:] == shape[1:]


class Kronecker(NamedTuple):
    """A change of a weight matrix as LyCORIS' LoKr has it: scale times the Kronecker product of two matrices."""

    left: torch.Tensor  # (a, b)
    right: torch.Tensor  # (out / a, in / b)
    scale: float

    def full(self, shape: torch.Size) -> torch.Tensor:
        """As float32 of the weight's `shape`."""
        return (self.scale * torch.kron(self.left.float(), self.right.float())).reshape(shape)

    def fits(self, shape: torch.Size) -> bool:
        rows, columns = (a * b for a, b in zip(self.left.shape, self.right.shape, strict=True))
        return (rows, columns) == (shape[0], shape[1:].numel())


class Full(NamedTuple):
    """A change of a whole tensor."""

    change: torch.Tensor
    scale: float

    def full(self, shape: torch.Size) -> torch.Tensor:
        """As float32 of the tensor's `shape`."""
        return self.scale * self.change.float().reshape(shape)

    def fits(self, shape: torch.Size) -> bool:
        return self.change.numel() == shape.numel()


Change = LowRank | Kronecker | Full


class NamedChange(NamedTuple):
    """One change of a file.

    Attributes:
        module: What it changes, without prefix and with underscores for dots: `blocks_0_self_attn_q`.
        suffix: Which of the module's parameters: "weight" or "bias".
        keys: The file's keys that say so.
        change: None where the file holds only half of one.
    """

    module: str
    suffix: str
    keys: list[str]
    change: Change | None


class LoraContent(NamedTuple):
    """A LoRA file: its changes, and its keys that are none."""

    changes: list[NamedChange]
    unknown: list[str]


def read_lora(path: Path) -> LoraContent:
    """Read and check a LoRA file of any published form; no network is needed, so a job can be checked beforehand.

    Args:
        path: Safetensors in the form of diffusers (`transformer.…lora_A`, with alpha in the header), peft
            (`base_model.model.…`, with `adapter_config.json` beside it), ComfyUI and DiffSynth (`….lora_down`, `alpha`,
            `diff`, `diff_b`, `diff_m`), musubi and kohya (`lora_unet_…`) or LyCORIS (`lycoris_…`, also LoKr).

    Raises:
        BadInput: It is missing or no safetensors file, holds NaN or infinity, or nothing in it is a LoRA.
    """
    tensors, alphas = _opened(path)
    groups, unknown = _grouped(tensors)
    changes = []
    for module, parts in groups.items():
        stated = partial(alphas.scale, module)
        changes += [NamedChange(module, *each) for each in _assembled(path, parts, stated)]
    if not changes:
        first = f" (first: {min(tensors)})" if tensors else ""
        raise BadInput(f"{path} holds no LoRA{first}.", "A LoRA is a file of low-rank changes: lora_A and lora_B.")
    return LoraContent(changes, unknown)


class PeftConfig(ForeignForm):
    """What peft's configuration says of alpha."""

    lora_alpha: float | None = None
    alpha_pattern: dict[str, float] | None = None
    use_rslora: bool | None = None


class _Alphas(NamedTuple):
    """Alpha as peft's configuration states it: of all modules, and of single ones by the ends of their names.

    Attributes:
        default: None: nothing is said, so alpha is the rank.
        by_name: By names with underscores for dots.
        root: Alpha is divided by the root of the rank (rsLoRA).
    """

    default: float | None
    by_name: Mapping[str, float]
    root: bool

    def scale(self, module: str, rank: int) -> float:
        """What the product of a module's factors is multiplied by."""
        found = (value for name, value in self.by_name.items() if f"_{module}".endswith(f"_{name}"))
        alpha = next(found, self.default)
        return 1.0 if alpha is None else alpha / (math.sqrt(rank) if self.root else rank)


def _stated_alphas(path: Path, header: Mapping[str, str]) -> _Alphas:
    """What the header, or peft's file beside this one, says of alpha."""
    key = next((key for key in _HEADER_KEYS if key in header), None)
    beside, advice = path.with_name(_PEFT_CONFIG), "Save it again with the tool that made it."
    values: Any = {}
    source = f"{path}: {key}"
    if key is not None:
        values = parse_json(header[key], source=source, advice=advice)
    elif path.name == _PEFT_NAME and beside.is_file():
        source, values = str(beside), read_document(beside, advice=advice)
    if isinstance(values, dict):
        values = {name.removeprefix("transformer."): value for name, value in values.items()}
    said = check(PeftConfig, values, source=source, advice=advice)
    names = {_plain(name.lstrip("^").replace("\\", "")): value for name, value in (said.alpha_pattern or {}).items()}
    return _Alphas(said.lora_alpha, names, bool(said.use_rslora))


def _plain(name: str) -> str:
    """A module's name with underscores for dots, as in kohya's and LyCORIS' files: with dots lost there, none count."""
    return name.replace(".", "_")


def _opened(path: Path) -> tuple[dict[str, torch.Tensor], _Alphas]:
    """The file's tensors, all finite, and what is said about alpha beside them."""
    try:
        with open(path, "rb"):
            pass  # safetensors calls what may not be read missing
        with safe_open(path, framework="pt") as opened:
            tensors = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118 (not a dict)
            alphas = _stated_alphas(path, opened.metadata() or {})
    except FileNotFoundError as error:
        raise BadInput(f"There is no LoRA file {path}.", "Check the name and the folder.") from error
    except (OSError, SafetensorError) as error:
        raise BadInput(f"{path} cannot be read as a LoRA ({error}).", "A LoRA is one safetensors file.") from error
    for key, tensor in tensors.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor.float()).all():
            advice = "Its training went wrong, or the file is damaged: use another."
            raise BadInput(f"{path}: {key} holds NaN or infinity.", advice)
    return tensors, alphas


_Parts = dict[str, tuple[str, torch.Tensor]]
_Stated = Callable[[int], float]  # a module's scale for its rank, where its keys do not say


def _grouped(tensors: Mapping[str, torch.Tensor]) -> tuple[dict[str, _Parts], list[str]]:
    """A file's tensors by module, then by part ("down", "up", ...): the key and the tensor; and the keys left over."""
    groups: dict[str, _Parts] = defaultdict(dict)
    unknown = []
    for key, tensor in tensors.items():
        for pattern, part in _PARTS:
            if match := pattern.search(key):
                module = _plain(_PREFIX.sub("", key[: match.start()]))
                part = part or match[1]
                if part == "diff_m":  # the table of shifts and scales, which is the module's own parameter
                    module, part = f"{module}_modulation", "diff"
                groups[module][part] = (key, tensor)
                break
        else:
            unknown.append(key)
    return groups, unknown


def _assembled(path: Path, parts: _Parts, stated: _Stated) -> Iterator[tuple[str, list[str], Change | None]]:
    """One module's parts put together: which of its parameters, from which keys, what change (None: half a one)."""
    whole = {"diff", "diff_b", "up_bias"}
    keys = [key for part, (key, _) in parts.items() if part not in whole]
    strength = 1.0
    if keys:
        change = _product(path, parts, stated)
        strength = change.scale if change else 1.0
        yield "weight", keys, change
    for part, suffix, each in (("up_bias", "bias", strength), ("diff", "weight", 1.0), ("diff_b", "bias", 1.0)):
        if part in parts:
            yield suffix, [parts[part][0]], Full(parts[part][1], each)


def _product(path: Path, parts: _Parts, stated: _Stated) -> LowRank | Kronecker | None:
    """The low-rank or Kronecker change of a module, or None where a factor is missing or does not fit the other."""
    tensors = {part: tensor for part, (_, tensor) in parts.items()}
    if "down" in tensors and "up" in tensors:
        down, up = tensors["down"], tensors["up"]
        if min(down.ndim, up.ndim) < 2 or not len(down) or up.shape[1:].numel() != len(down):
            return None
        return LowRank(down, up, _scale(path, parts, stated, len(down)))
    (left, left_rank), (right, right_rank) = (_factor(tensors, f"lokr_w{number}") for number in (1, 2))
    if left is None or right is None:
        return None
    rank = right_rank or left_rank  # as LyCORIS: where both are whole, alpha says nothing
    return Kronecker(left, right, _scale(path, parts, stated, rank) if rank else 1.0)


def _factor(tensors: Mapping[str, torch.Tensor], name: str) -> tuple[torch.Tensor | None, int | None]:
    """One matrix of a Kronecker product, whole in the file or as a low-rank product; and its rank."""
    if name in tensors:
        return (tensors[name] if tensors[name].ndim == 2 else None), None
    a, b = tensors.get(f"{name}_a"), tensors.get(f"{name}_b")
    if a is None or b is None or a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0] or not len(b):
        return None, None
    return a.float() @ b.float(), len(b)


def _scale(path: Path, parts: _Parts, stated: _Stated, rank: int) -> float:
    if "alpha" not in parts:
        return stated(rank)
    key, alpha = parts["alpha"]
    if alpha.numel() != 1:
        raise BadInput(f"{path}: {key} is not one number.", "The file is damaged: download it again.")
    return alpha.item() / rank
