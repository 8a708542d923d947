"""Prompt embeddings on disk, so that the 11 GB text encoder runs once for each prompt and not for each video.

A store is a file `prompt_embeds.safetensors`. It holds the unpadded rows of each prompt under the SHA-256 of its text,
and the texts in its metadata.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock
from safetensors import SafetensorError, safe_open

from onetoall_cli.errors import BadInput
from onetoall_cli.files import whole_file

if TYPE_CHECKING:
    import torch

FORMAT = "onetoall-prompt-embeds"
VERSION = "1"


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
        return self._metadata().get("encoder") or self._encoder

    def prompts(self) -> list[str]:
        """The stored prompt texts, sorted."""
        return sorted(json.loads(self._metadata().get("prompts", "{}")).values())

    def get(self, prompt: str) -> "torch.Tensor | None":
        """The rows of `prompt`, (L, C) with L its true length in tokens; None if it is not stored.

        Raises:
            BadInput: The file is damaged or is not a prompt store.
        """
        if not self.path.exists():
            return None
        self._metadata()
        key = prompt_key(prompt)
        with self._open() as stored:
            return stored.get_tensor(key) if key in stored.keys() else None  # noqa: SIM118 (not a dict)

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
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self.path.with_suffix(".lock")):
            self.replace_all({**self._load(), **rows_of})

    def replace_all(self, rows_of: "Mapping[str, torch.Tensor]") -> None:
        """Write these prompts and remove all others.

        Raises:
            BadInput: As `put`.
        """
        from safetensors.torch import save_file  # torch loads here, not with the module

        _check_rows(rows_of.values(), self.path)
        texts = {prompt_key(prompt): prompt for prompt in rows_of}
        metadata = {"format": FORMAT, "version": VERSION, "prompts": json.dumps(texts, ensure_ascii=False)}
        encoder = self._encoder or self.encoder
        if encoder:
            metadata["encoder"] = encoder
        tensors = {prompt_key(prompt): rows.detach().cpu().contiguous() for prompt, rows in rows_of.items()}
        with whole_file(self.path) as temporary:
            save_file(tensors, temporary, metadata=metadata)

    def _load(self) -> "dict[str, torch.Tensor]":
        if not self.path.exists():
            return {}
        texts = json.loads(self._metadata().get("prompts", "{}"))
        with self._open() as stored:
            return {text: stored.get_tensor(key) for key, text in texts.items()}

    def _open(self):
        try:
            return safe_open(self.path, framework="pt")
        except (SafetensorError, OSError) as error:
            raise BadInput(
                f"{self.path} is not a readable prompt store: {error}.", "Delete it, or import it again."
            ) from error

    def _metadata(self) -> dict[str, str]:
        """The file's metadata; empty if there is no file."""
        if not self.path.exists():
            return {}
        with self._open() as stored:
            metadata = stored.metadata() or {}
        if metadata.get("format") != FORMAT or metadata.get("version") != VERSION:
            raise BadInput(
                f"{self.path} is not a prompt store of this version of onetoall.",
                "Make one with `onetoall prompt-embeds export`.",
            )
        return metadata


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
