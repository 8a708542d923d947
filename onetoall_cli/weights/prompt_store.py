"""Prompt embeddings on disk, so that the 11 GB text encoder runs once for each prompt and not for each video.

A store is a file `prompt_embeds.safetensors`. It holds the unpadded rows of each prompt under the SHA-256 of its text,
and the texts in its metadata.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field
from safetensors import SafetensorError, safe_open

from onetoall_cli.errors import BadInput
from onetoall_cli.files import whole_file
from onetoall_cli.files.documents import parse_json
from onetoall_cli.files.forms import Form, check
from onetoall_cli.hub.locking import locked

if TYPE_CHECKING:
    import torch

FORMAT: Literal["onetoall-prompt-embeds"] = "onetoall-prompt-embeds"
VERSION: Literal["1"] = "1"
ADVICE = "Delete it and import it again, or make one with `onetoall prompt-embeds export`."


class StoreHeader(Form):
    """What a store's safetensors header says.

    Attributes:
        format, version: Of stores; safetensors has texts only.
        prompts: The texts by the names of their rows; JSON in the header.
        encoder: The text encoder of the rows; None where it is not known.
    """

    format: Literal["onetoall-prompt-embeds"]
    version: Literal["1"]
    prompts: dict[str, str] = Field(default_factory=dict)
    encoder: str | None = None


def prompt_key(prompt: str) -> str:
    """The name of a prompt's rows in a store: the SHA-256 of its UTF-8 text, in hex."""
    return hashlib.sha256(prompt.encode("utf-8")).hexdigest()


class PromptStore:
    """A file of prompt embeddings; it need not exist before the first `put`.

    Args:
        path: The safetensors file.
        encoder: The text encoder of the rows (`repository@commit`), written into a new file; None if it does not
            matter.
    """

    def __init__(self, path: Path, encoder: str | None = None) -> None:
        self.path = Path(path)
        self._encoder = encoder

    @property
    def encoder(self) -> str | None:
        """The encoder of the stored rows, or the one given if there is no file yet."""
        header = self._header()
        return (header.encoder if header else None) or self._encoder

    def prompts(self) -> list[str]:
        """The stored prompt texts, sorted."""
        header = self._header()
        return sorted(header.prompts.values()) if header else []

    def get(self, prompt: str) -> "torch.Tensor | None":
        """The rows of `prompt`, (L, C) with L its true length in tokens; None if it is not stored.

        Raises:
            BadInput: The file is damaged or is not a prompt store.
        """
        if self._header() is None:
            return None
        key = prompt_key(prompt)
        with self._open() as stored:
            rows = stored.get_tensor(key) if key in stored.keys() else None  # noqa: SIM118 (not a dict)
        if rows is not None:
            _check_rows([rows], self.path)
        return rows

    def put(self, prompt: str, rows: "torch.Tensor") -> None:
        """Add or replace one prompt.

        Args:
            prompt: The text.
            rows: Its embedding without padding, float (L, C), L >= 1.

        Raises:
            BadInput: The rows' width differs from that of the stored rows, or the file cannot be written.
        """
        self.put_all({prompt: rows})

    def put_all(self, rows_of: "Mapping[str, torch.Tensor]") -> None:
        """Add or replace several prompts by rewriting the file once (a token takes 8 KB)."""
        with locked(self.path.with_suffix(".lock")):
            self.replace_all({**self._load(), **rows_of})

    def replace_all(self, rows_of: "Mapping[str, torch.Tensor]") -> None:
        """Write these prompts and remove all others.

        Raises:
            BadInput: As `put`.
        """
        from safetensors.torch import save_file  # torch loads here, not with the module

        _check_rows(rows_of.values(), self.path)
        texts = {prompt_key(prompt): prompt for prompt in rows_of}
        header = StoreHeader(format=FORMAT, version=VERSION, prompts=texts, encoder=self._encoder or self.encoder)
        fields = header.model_dump(exclude={"prompts"}, exclude_none=True)
        metadata = {**fields, "prompts": json.dumps(texts, ensure_ascii=False)}
        tensors = {prompt_key(prompt): rows.detach().cpu().contiguous() for prompt, rows in rows_of.items()}
        with whole_file(self.path) as temporary:
            save_file(tensors, temporary, metadata=metadata)

    def _load(self) -> "dict[str, torch.Tensor]":
        header = self._header()
        if header is None:
            return {}
        with self._open() as stored:
            held = set(stored.keys())
            rows_of = {text: stored.get_tensor(key) for key, text in header.prompts.items() if key in held}
        if len(rows_of) < len(header.prompts):
            raise BadInput(f"{self.path} lacks rows of its prompts.", ADVICE)
        return rows_of

    def _open(self) -> Any:
        try:
            return safe_open(self.path, framework="pt")
        except (SafetensorError, OSError) as error:
            raise BadInput(f"{self.path} is not a readable prompt store: {error}.", ADVICE) from error

    def _header(self) -> "StoreHeader | None":
        """What the file says of itself; None if there is no file."""
        if not self.path.exists():
            return None
        with self._open() as stored:
            metadata = stored.metadata() or {}
        source = str(self.path)
        prompts = parse_json(metadata.get("prompts", "{}"), source=f"{source}: prompts", advice=ADVICE)
        return check(StoreHeader, {**metadata, "prompts": prompts}, source=source, advice=ADVICE)


def _check_rows(all_rows: "Iterable[torch.Tensor]", path: Path) -> None:
    widths = set()
    for rows in all_rows:
        if rows.ndim != 2 or 0 in rows.shape or not rows.is_floating_point():
            raise BadInput(
                f"A prompt embedding has shape {tuple(rows.shape)}.", "It must be rows of floats: (tokens, width)."
            )
        widths.add(rows.shape[1])
    if len(widths) > 1:
        raise BadInput(
            f"{path} would hold embeddings of the widths {', '.join(map(str, sorted(widths)))}.",
            "They come from different text encoders: keep them in different files.",
        )
