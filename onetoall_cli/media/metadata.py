"""The text in which an output carries the settings it was made with; `read_metadata` gives them back.

Every kind of file gets the same text, a JSON object under one key, where its own viewers show a comment.
"""

import json
from collections.abc import Mapping
from typing import Any

from PIL import Image

from onetoall_cli.errors import BadInput
from onetoall_cli.files.documents import parse_json

MAX_METADATA = 2**20  # bytes; ours take 2 KB
_KEY = "onetoall"  # tells our comments from other programs', which may be JSON too
PNG_KEYWORD = "Comment"  # one of PNG's registered keywords
EXIF_IMAGE_DESCRIPTION = 0x010E


def metadata_text(metadata: Mapping[str, Any]) -> str:
    """The text to store: one line of ASCII JSON, keys in the order given; what JSON has not, as its text."""
    return json.dumps({_KEY: dict(metadata)}, default=str)


def parse_metadata(text: object) -> dict[str, Any] | None:
    """The settings in a stored text, or None where another program wrote it."""
    if not isinstance(text, (str, bytes)) or not text:
        return None
    try:
        stored = parse_json(text, source="metadata", advice="", max_bytes=MAX_METADATA)
    except BadInput:
        return None
    settings = stored.get(_KEY) if isinstance(stored, dict) else None
    return settings if isinstance(settings, dict) else None


def exif_with(text: str) -> Image.Exif:
    """EXIF tags that describe a picture by `text`."""
    exif = Image.Exif()
    exif[EXIF_IMAGE_DESCRIPTION] = text
    return exif
