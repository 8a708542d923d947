"""Text from outside, made safe to show: on one line, of bounded length, without what a terminal would obey.

File names, metadata and values of files go through `displayed` before they stand in a message, a note or a result.
"""

import re
from collections.abc import Iterable

VALUE = 80  # characters of a value that a message echoes
MESSAGE = 1000  # characters of a whole sentence
NAMES = 8  # of a list that a message names

# C0 and C1 controls, line and paragraph separators, lone surrogates, and the marks that turn the direction of text.
_CONTROL = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
_SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


def displayed(text: object, limit: int | None = VALUE) -> str:
    """`text` on one line of at most `limit` characters: control characters as `\\x1b`, the rest cut with `...`.

    Bytes of a file name that are not UTF-8 (which Python holds as lone surrogates) are shown as `\\xff`.
    """
    whole = str(text)
    safe = _CONTROL.sub(_escaped, whole if limit is None else whole[: limit + 1])
    return safe if limit is None or len(safe) <= limit else safe[: limit - 3] + "..."


def displayed_lines(text: str) -> str:
    """`text` with its line breaks and tabs, but no other control characters, whole."""
    return "\n".join("\t".join(displayed(piece, None) for piece in line.split("\t")) for line in text.split("\n"))


def displayed_names(names: Iterable[object], limit: int = NAMES) -> str:
    """The first `limit` of `names` after each other, and how many more there are."""
    shown = [displayed(name) for name in names]
    rest = len(shown) - limit
    return ", ".join(shown[:limit]) + (f" and {rest} more" if rest > 0 else "")


def _escaped(match: re.Match[str]) -> str:
    character = match[0]
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # how Python holds a byte that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return _SHORT.get(character) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")
