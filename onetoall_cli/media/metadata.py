"""The text in which an output carries the settings it was made with; `read_metadata` gives them back.

Every kind of file gets the same text, a JSON object under one key, where its own viewers show a comment.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_KEY = "onetoall"  # tells our comments from other programs', which may be JSON too
PNG_KEYWORD = "Comment"  # one of PNG's registered keywords
EXIF_IMAGE_DESCRIPTION = 0x010E


def metadata_text(metadata: Mapping[str, Any]) -> str:
    """The text to store: one line of ASCII JSON, keys in the order given; what JSON has not, as its text."""
    return json.dumps({_KEY: dict(metadata)}, default=str)


def parse_metadata(text: str | bytes | None) -> dict[str, Any] | None:
    """The settings in a stored text, or None where another program wrote it."""
    try:
        stored = json.loads(text or "null")
    except ValueError:
        return None
    settings = stored.get(_KEY) if isinstance(stored, dict) else None
    return settings if isinstance(settings, dict) else None


def add_gif_comment(path: Path, metadata: Mapping[str, Any]) -> None:
    """Store settings in a finished GIF (GIF89a, section 24): a comment extension behind the header."""
    gif = path.read_bytes()
    packed = gif[10]
    header = 13 + (3 * 2 ** ((packed & 7) + 1) if packed & 0x80 else 0)
    text = metadata_text(metadata).encode("ascii")
    blocks = b"".join(bytes([len(text[i : i + 255])]) + text[i : i + 255] for i in range(0, len(text), 255))
    path.write_bytes(gif[:header] + b"\x21\xfe" + blocks + b"\x00" + gif[header:])
