"""Prompt embeddings: from a store, else from the text encoder, whose results are stored.

As in diffusers' WanPipeline the text is cleaned, cut to 512 tokens and encoded by UMT5; only the tokens' rows are kept.
"""

import html
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onetoall_cli.display_text import displayed
from onetoall_cli.errors import ModelMissing, OutOfResources
from onetoall_cli.hub.location import ModelLocation
from onetoall_cli.hub.places import prompt_store
from onetoall_cli.hub.weight_files import weight_files
from onetoall_cli.runtime.machine import Memory, gpu_memory, system_memory
from onetoall_cli.runtime.shortage import is_out_of_memory
from onetoall_cli.weights.prompt_store import PromptStore
from onetoall_cli.weights.tensors import read_tensors

if TYPE_CHECKING:
    import torch

HEADROOM = 10**9  # bytes beside the weights: activations of 512 tokens, and the libraries
INT8_SHARE = 0.6  # of the size in bfloat16: the embedding table of 1 billion parameters is not quantised


def prompt_embeddings(
    location: ModelLocation,
    prompts: Iterable[str],
    *,
    device: "torch.device | str" = "cpu",
    note: Callable[[str], None] | None = None,
) -> "list[torch.Tensor]":
    """The embeddings of `prompts`, padded with zero rows as in training.

    Args:
        location: The model, whose stores are searched before its text encoder is used.
        prompts: The texts; the empty text is a prompt too.
        device: Device of the run, which the text encoder may use. The embeddings stay on the CPU.
        note: Called with a line of text if the text encoder has to be loaded, which takes a while.

    Returns:
        An embedding (1, max_text_tokens, C) for each prompt.

    Raises:
        ModelMissing, OutOfResources, BadInput: As `prompt_rows`.
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
    """The unpadded embedding (L, C) of each prompt; L is its number of tokens, at least 1 (the end token).

    Args:
        location, prompts, device, note: As `prompt_embeddings`.

    Raises:
        ModelMissing: A prompt is not stored, and the text encoder is not installed.
        OutOfResources: This machine has too little memory for the text encoder.
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
    """Whether the embeddings of all `prompts` are stored."""
    return all(_stored(location, prompt) is not None for prompt in prompts)


def _stored(location: ModelLocation, prompt: str) -> "torch.Tensor | None":
    stores = (PromptStore(path) for path in location.embeddings)
    return next((rows for store in stores if (rows := store.get(prompt)) is not None), None)


def _shown(prompt: str) -> str:
    return repr(prompt if len(prompt) <= 40 else prompt[:37] + "...")


@dataclass(frozen=True)
class Placement:
    """Device and precision of the text encoder.

    Attributes:
        device: "cuda", "mps" or "cpu".
        precision: "bfloat16" or "int8".
    """

    device: str
    precision: str

    def __str__(self) -> str:
        return f"{self.precision} on {self.device}"


def place_encoder(text_encoder: Path, system: Memory, gpu: Memory | None) -> Placement:
    """The most exact placement of the encoder that fits the free memory.

    The order is bfloat16 on the GPU, bfloat16 on the CPU (slower, but needed once), 8 bits on the GPU, 8 bits on the
    CPU.

    Raises:
        OutOfResources: None fits.
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
        max_tokens: Longer prompts are cut to this.
        placement: Device and precision.

    Returns:
        The rows of each prompt, bfloat16 (L, C) on the CPU, L <= max_tokens.

    Raises:
        ModelMissing: A file of either folder is missing, damaged or wrong.
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
    """The rows of one prompt, (1, L, C) with L <= max_tokens, on the encoder's device.

    The prompt is not padded: the attention mask would hide padded rows anyway.
    """
    tokens = tokenizer(clean_prompt(prompt), max_length=max_tokens, truncation=True, return_tensors="pt")
    tokens = tokens.to(device)
    return encoder(tokens.input_ids, attention_mask=tokens.attention_mask).last_hidden_state


def clean_prompt(prompt: str) -> str:
    """Repair mis-decoded text, undo HTML escapes and collapse white space, as in training."""
    import ftfy

    repaired = html.unescape(html.unescape(ftfy.fix_text(prompt)))
    return re.sub(r"\s+", " ", repaired).strip()


def _load_tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # whatever the readers of its many formats raise on files that are damaged
        raise ModelMissing(
            f"The tokenizer in {folder} cannot be read ({_first_line(error)}).",
            "Run `onetoall fetch --verify --repair`.",
        ) from error


def _load_encoder(folder: Path, placement: Placement) -> Any:
    import torch
    from transformers import BitsAndBytesConfig, UMT5EncoderModel
    from transformers.utils import logging

    logging.disable_progress_bar()  # only `cli` prints
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
    except Exception as error:  # whatever a damaged configuration leads to
        if is_out_of_memory(error):
            raise
        raise ModelMissing(
            f"The text encoder in {folder} cannot be read ({_first_line(error)}).",
            "Run `onetoall fetch --verify --repair`.",
        ) from error
    encoder, report = loaded
    # the table of token embeddings is stored under one of its two names
    missing = set(report["missing_keys"]) - {"encoder.embed_tokens.weight", "shared.weight"}
    if missing:
        raise ModelMissing(
            f"{folder} does not hold a complete UMT5 encoder: {min(missing)} is missing.",
            "Run `onetoall fetch --verify --repair`.",
        )
    return encoder.eval()


def _first_line(error: Exception) -> str:
    return displayed((str(error).strip().splitlines() or [type(error).__name__])[0], 200)
