"""Prompt embeddings: from a store if they are there, else from the text encoder, once, and kept.

The convention is diffusers' WanPipeline's: cleaned text, UMT5, at most 512 tokens, only the rows of real tokens.
"""

import html
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onetoall_cli.errors import ModelMissing, OutOfResources
from onetoall_cli.hub.location import ModelLocation
from onetoall_cli.hub.places import prompt_store
from onetoall_cli.hub.weight_files import weight_files
from onetoall_cli.runtime.machine import Memory, gpu_memory, system_memory
from onetoall_cli.weights.prompt_store import PromptStore
from onetoall_cli.weights.tensors import read_tensors

if TYPE_CHECKING:
    import torch

# Beyond the weights: activations of 512 tokens and the libraries.
HEADROOM = 10**9
INT8_SHARE = 0.6  # of the bfloat16 size: the 1 billion parameters of the embedding table are not quantised


def prompt_embeddings(
    location: ModelLocation,
    prompts: Iterable[str],
    *,
    device: "torch.device | str" = "cpu",
    note: Callable[[str], None] | None = None,
) -> "list[torch.Tensor]":
    """The embeddings of `prompts` as the network was trained on them: zero rows after the true length.

    Args:
        location: The model: its stores are looked in first, its text encoder makes what is not there.
        prompts: The texts; the empty one counts.
        device: Of the run; the text encoder may use it. The embeddings themselves stay on the CPU.
        note: Called with a line when the text encoder has to be loaded, which takes a while.

    Returns:
        For each prompt (1, max_text_tokens, C).

    Raises:
        As `prompt_rows`.
    """
    import torch

    prompts = list(prompts)
    rows_of = prompt_rows(location, prompts, device=device, note=note)
    length = location.defaults.max_text_tokens
    cut = [rows_of[prompt][:length] for prompt in prompts]
    return [torch.nn.functional.pad(rows, (0, 0, 0, length - len(rows)))[None] for rows in cut]


def prompt_rows(
    location: ModelLocation,
    prompts: Iterable[str],
    *,
    device: "torch.device | str" = "cpu",
    note: Callable[[str], None] | None = None,
) -> "dict[str, torch.Tensor]":
    """The unpadded embedding of each prompt: (L, C), L the number of its tokens (at least the end token).

    Args: as `prompt_embeddings`.

    Raises:
        ModelMissing: A prompt is in no store and the text encoder is not installed.
        OutOfResources: This machine has not the memory to run it.
        BadInput: A store is damaged.
    """
    prompts = list(dict.fromkeys(prompts))
    found = {prompt: rows for prompt in prompts if (rows := _stored(location, prompt)) is not None}
    absent = [prompt for prompt in prompts if prompt not in found]
    if not absent:
        return found
    if location.text_encoder is None or location.tokenizer is None:
        raise ModelMissing(
            f"The embedding of the prompt {_shown(absent[0])} is not stored, and the text encoder is not installed.",
            "Run `onetoall fetch text-encoder`, or bring it from elsewhere with `onetoall prompt-embeds import FILE`.",
        )
    on_cpu = str(device).startswith("cpu")
    placement = place_encoder(location.text_encoder, system_memory(), None if on_cpu else gpu_memory())
    if note:
        note(f"Encoding {len(absent)} prompt(s) with the text encoder ({placement}); they are kept for later runs.")
    made = encode_prompts(
        absent, location.text_encoder, location.tokenizer, location.defaults.max_text_tokens, placement
    )
    if location.encoder is not None:
        PromptStore(prompt_store(location.encoder), location.encoder).put_all(made)
    return {**found, **made}


def has_prompts(location: ModelLocation, prompts: Iterable[str]) -> bool:
    """Whether the embeddings of all `prompts` are stored, so that the text encoder is not needed."""
    return all(_stored(location, prompt) is not None for prompt in prompts)


def _stored(location: ModelLocation, prompt: str) -> "torch.Tensor | None":
    stores = (PromptStore(path) for path in location.embeddings)
    return next((rows for store in stores if (rows := store.get(prompt)) is not None), None)


def _shown(prompt: str) -> str:
    return repr(prompt if len(prompt) <= 40 else prompt[:37] + "...")


@dataclass(frozen=True)
class Placement:
    """Where the text encoder runs and in which precision.

    Attributes:
        device: "cuda", "mps" or "cpu".
        precision: "bfloat16" or "int8".
    """

    device: str
    precision: str

    def __str__(self) -> str:
        return f"{self.precision} on {self.device}"


def place_encoder(text_encoder: Path, system: Memory, gpu: Memory | None) -> Placement:
    """The most exact way to run the encoder that fits the free memory.

    bfloat16 on the GPU, else bfloat16 on the CPU (slower, but it is done once), else 8-bit.

    Raises:
        OutOfResources: It fits nowhere.
    """
    parameters = sum(math.prod(info.shape) for info in read_tensors(weight_files(text_encoder)).values())
    exact = 2 * parameters + HEADROOM
    small = INT8_SHARE * 2 * parameters + HEADROOM
    device = "mps" if gpu is not None and gpu.device.startswith("Apple") else "cuda"
    if gpu is not None and gpu.free >= exact:
        return Placement(device, "bfloat16")
    if system.free >= exact:
        return Placement("cpu", "bfloat16")
    if gpu is not None and device == "cuda" and gpu.free >= small:
        return Placement("cuda", "int8")
    if system.free >= small:
        return Placement("cpu", "int8")
    raise OutOfResources(
        f"The text encoder needs {small / 10**9:.0f} GB of free memory, and {system.free / 10**9:.0f} GB are free.",
        "Close other programs, or bring the embeddings from a larger machine: `onetoall prompt-embeds import FILE`.",
    )


def encode_prompts(
    prompts: Iterable[str], text_encoder: Path, tokenizer: Path, max_tokens: int, placement: Placement
) -> "dict[str, torch.Tensor]":
    """Run the text encoder.

    Args:
        prompts: The texts, as the user wrote them.
        text_encoder: Folder of a UMT5 encoder (transformers).
        tokenizer: Folder of its tokenizer.
        max_tokens: Longer prompts are cut.
        placement: Where and in which precision.

    Returns:
        Per prompt its rows, (L, C) bfloat16 on the CPU, L <= max_tokens.

    Raises:
        ModelMissing: A file of either folder is missing, damaged or foreign.
    """
    import torch

    texts = _load_tokenizer(tokenizer)
    encoder = _load_encoder(text_encoder, placement)
    rows_of = {}
    with torch.inference_mode():
        for prompt in prompts:
            rows_of[prompt] = encoded_rows(prompt, texts, encoder, max_tokens, encoder.device)[0].to(
                "cpu", torch.bfloat16
            )
    return rows_of


def encoded_rows(prompt: str, tokenizer: Any, encoder: Any, max_tokens: int, device: "torch.device") -> "torch.Tensor":
    """One prompt's rows (1, L, C), L <= max_tokens, on the device that the encoder computes on.

    One prompt at a time and no padding: the attention mask would hide padded rows anyway.
    """
    tokens = tokenizer(clean_prompt(prompt), max_length=max_tokens, truncation=True, return_tensors="pt")
    tokens = tokens.to(device)
    return encoder(tokens.input_ids, attention_mask=tokens.attention_mask).last_hidden_state


def clean_prompt(prompt: str) -> str:
    """Repair mis-decoded text, undo HTML escapes and join white space, as the model was trained with."""
    import ftfy

    repaired = html.unescape(html.unescape(ftfy.fix_text(prompt)))
    return re.sub(r"\s+", " ", repaired).strip()


def _load_tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise ModelMissing(
            f"The tokenizer in {folder} cannot be read ({_first_line(error)}).",
            "Run `onetoall fetch --verify --repair`.",
        ) from error


def _load_encoder(folder: Path, placement: Placement) -> Any:
    import torch
    from transformers import BitsAndBytesConfig, UMT5EncoderModel
    from transformers.utils import logging

    logging.disable_progress_bar()  # only `cli` talks; the note has said that this takes a while
    quantised: dict[str, Any] = {}
    if placement.precision == "int8":
        quantised["quantization_config"] = BitsAndBytesConfig(load_in_8bit=True)
    try:
        loaded: Any = UMT5EncoderModel.from_pretrained(
            folder,
            torch_dtype=torch.bfloat16,
            device_map={"": placement.device},
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
            **quantised,
        )
    except (OSError, ValueError) as error:
        raise ModelMissing(
            f"The text encoder in {folder} cannot be read ({_first_line(error)}).",
            "Run `onetoall fetch --verify --repair`.",
        ) from error
    encoder, report = loaded
    # the table of token embeddings is stored under one of its two names
    missing = set(report["missing_keys"]) - {"encoder.embed_tokens.weight", "shared.weight"}
    if missing:
        raise ModelMissing(
            f"{folder} does not hold a whole UMT5 encoder: {min(missing)} is missing.",
            "Run `onetoall fetch --verify --repair`.",
        )
    return encoder.eval()


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200]
