"""Damage to files: bytes of any file, and the structure of JSON, YAML and of what carries JSON inside."""

import io
import json
import random
import zipfile
import zlib
from collections.abc import Callable
from copy import deepcopy
from itertools import pairwise
from pathlib import Path
from typing import Any

ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 0.5, 2**31, 2**63, -(2**63), 10**400, 1e308, float("nan"), float("inf")),
    *(
        "",
        "x",
        "0",
        "off",
        "../../x",
        "/etc/passwd",
        "-",
        "a\0b",
        "\x1b[31mred\x1b[0m",
        "\u202egnp.exe",
        "[red]x[/red]",
    ),
    *("\n", "%s", "\ud800", "é" * 300, "x" * 20_000, [], {}, [[]], [None], {"": None}, [1, 2, 3], ["x"] * 1000),
    *({str(number): number for number in range(1000)}, {"__class__": "x"}, {"$ref": "#"}),
)
ODD_BYTES = (
    b"\0",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\xff\xff\xff\xff",
    b"\0\0\0\0",
    b"\x7f\xff\xff\xff",
    b"\x1b[31m",
    b"{",
    b"[",
)
LARGEST = 2**20  # bytes that a mutation makes of a file


def mutate(path: Path, rng: random.Random) -> None:
    """Change the file in place: its structure where it has one, else, and in half of the cases, its bytes."""
    data = path.read_bytes()
    structured = STRUCTURED.get(path.suffix) if rng.random() < 0.6 else None
    try:
        changed = structured(data, rng) if structured else None
    except (ValueError, KeyError, OSError, RecursionError, zipfile.BadZipFile):  # damaged or deep already
        changed = None
    path.write_bytes((changed if changed is not None else damaged(data, rng))[:LARGEST])


def damaged(data: bytes, rng: random.Random) -> bytes:
    """One to four changes of bytes."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randint(0, max(0, len(changed) - 1))
        length = rng.choice((1, 1, 2, 4, 8, 64, 1000))
        kind = rng.randrange(7)
        if kind == 0 and changed:
            changed[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            odd = rng.choice(ODD_BYTES)
            changed[at : at + len(odd)] = odd
        elif kind == 2:
            del changed[at : at + length]
        elif kind == 3:
            changed[at:at] = changed[at : at + length] * rng.choice((1, 2, 50))
        elif kind == 4:
            changed[at:at] = bytes(rng.randrange(256) for _ in range(min(length, 64)))
        elif kind == 5:
            del changed[at:]
        else:
            other = rng.randint(0, max(0, len(changed) - 1))
            changed[at : at + length] = changed[other : other + length]
    return bytes(changed)


def changed_value(value: Any, rng: random.Random) -> Any:
    """A JSON value with one to three of its places changed."""
    holder = {"": json.loads(json.dumps(value))}
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        places = list(_places(holder))
        parent, key = places[rng.randrange(len(places))]
        kind = rng.randrange(6)
        if kind == 0 and parent is not holder:
            del parent[key]
        elif kind == 1:
            other, other_key = places[rng.randrange(len(places))]
            parent[key] = json.loads(json.dumps(other[other_key]))  # a copy, so that it stays a tree
        elif kind == 2 and isinstance(parent, dict) and parent is not holder:
            parent[rng.choice(("x", "", str(key) + "s", str(key).upper(), "\x1b[2J"))] = parent.pop(key)
        elif kind == 3:
            for _ in range(rng.choice((2, 40, 2000))):
                parent[key] = [parent[key]] if rng.random() < 0.5 else parent[key]
        else:
            parent[key] = deepcopy(rng.choice(ODD_VALUES))
    return holder[""]


def _places(value: Any) -> Any:
    stack = [value]
    while stack:
        parent = stack.pop()
        for key in list(parent) if isinstance(parent, dict) else range(len(parent)):
            yield parent, key
            if isinstance(parent[key], (dict, list)):
                stack.append(parent[key])


def json_text(value: Any, rng: random.Random) -> bytes:
    """A value as JSON, sometimes with the habits of other writers, or badly."""
    try:
        text = json.dumps(value, ensure_ascii=rng.random() < 0.7)
    except RecursionError:
        text = "[" * 5000
    if rng.random() < 0.05 and '"' in text:
        at = text.index('"')
        text = text[:at] + text[at:].replace('": ', '": 1, "x": 2, "x": ', 1)  # a key twice
    encoding = rng.choice(("utf-8",) * 20 + ("utf-16", "latin-1", "utf-8-sig"))
    return text.encode(encoding, "surrogatepass" if encoding.startswith("utf") else "replace")


def _json(data: bytes, rng: random.Random) -> bytes:
    return json_text(changed_value(json.loads(data), rng), rng)


def _yaml(data: bytes, rng: random.Random) -> bytes:
    import yaml

    value = changed_value(yaml.safe_load(data), rng)
    if rng.random() < 0.3:
        return json_text(value, rng)  # JSON is YAML
    if rng.random() < 0.1:
        lines = [f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]" for before, name in pairwise("abcdefghij")]
        return "\n".join(["a: &a [x]", *lines]).encode()
    try:
        return yaml.safe_dump(value, allow_unicode=True, sort_keys=False).encode("utf-8", "surrogatepass")
    except (RecursionError, yaml.YAMLError):
        return b"- " * 5000


def _safetensors(data: bytes, rng: random.Random) -> bytes:
    length = int.from_bytes(data[:8], "little")
    header = json_text(changed_value(json.loads(data[8 : 8 + length]), rng), rng)
    told = len(header) if rng.random() < 0.9 else rng.choice((0, 1, len(header) + 7, 2**40, 2**64 - 1))
    return told.to_bytes(8, "little") + header + data[8 + length :]


def _png(data: bytes, rng: random.Random) -> bytes:
    """The JSON in a PNG's text chunk changed, or the size in its header."""
    start = data.index(b"tEXtComment\0") if rng.random() < 0.8 else data.index(b"IHDR")
    length = int.from_bytes(data[start - 4 : start], "big")
    kind, content = data[start : start + 4], data[start + 4 : start + 4 + length]
    if kind == b"tEXt":
        content = b"Comment\0" + _json(content[8:], rng).replace(b"\0", b"")
    else:
        sides = (0, 1, 7, 8000, 13000, 100_000, 2**31 - 1)
        content = b"".join(rng.choice(sides).to_bytes(4, "big") for _ in range(2)) + content[8:]
        content = content[:8] + bytes([rng.choice((1, 8, 16)), rng.choice((0, 2, 3, 4, 6))]) + content[10:]
    chunk = kind + content
    crc = zlib.crc32(chunk).to_bytes(4, "big")
    return data[: start - 4] + len(content).to_bytes(4, "big") + chunk + crc + data[start + 8 + length :]


def _mp4(data: bytes, rng: random.Random) -> bytes:
    """The JSON in a video's comment changed to one of the same length."""
    start = data.index(b'{"onetoall"')
    _, length = json.JSONDecoder().raw_decode(data[start:].decode("latin-1"))
    changed = json_text(changed_value(json.loads(data[start : start + length]), rng), rng)
    return data[:start] + changed[:length].ljust(length) + data[start + length :]


def _npz(data: bytes, rng: random.Random) -> bytes:
    """The members of an archive changed, renamed or doubled, with true checksums."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as archive, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as written:
        for name in archive.namelist():
            content = archive.read(name)
            kind = rng.randrange(5)
            if kind < 2:
                content = _npy(content, rng)
            elif kind == 2:
                name = rng.choice(("x.npy", "../x.npy", "size.npy", "\x1b[2J.npy", "", name.upper()))
            elif kind == 3:
                content = content + b"\0" * rng.choice((0, 1, 10**6))
            written.writestr(name or "x", content)
    return out.getvalue()


def _npy(data: bytes, rng: random.Random) -> bytes:
    """The header of an array changed."""
    length = int.from_bytes(data[8:10], "little")
    header = data[10 : 10 + length].decode("latin-1")
    descriptions = (
        "'<f4'",
        "'<f8'",
        "'|O'",
        "'<U9'",
        "'|b1'",
        "'>i2'",
        "'<c8'",
        "'|S0'",
        "[('a', '<f4')]",
        "'<M8[s]'",
        "'|V3'",
    )
    shapes = (
        "()",
        "(0,)",
        "(-1, 133, 3)",
        "(133, 3)",
        "(1, 1, 133, 3)",
        "(99999999999, 133, 3)",
        "(True, 133, 3)",
        "(1e9,)",
    )
    kind = rng.randrange(4)
    if kind == 0:
        header = header.replace("'<f4'", rng.choice(descriptions)).replace("'<f8'", rng.choice(descriptions))
    elif kind == 1:
        start, stop = header.index("("), header.index(")") + 1
        header = header[:start] + rng.choice(shapes) + header[stop:]
    elif kind == 2:
        header = rng.choice(("", "{}", "[" * 100, "(" * 5000, "__import__('os')", "{'descr': 1}", header + "\0"))
    else:
        return data[:6] + bytes([rng.choice((0, 1, 2, 3, 9)), rng.choice((0, 1, 255))]) + data[8:]
    text = header.rstrip().encode("latin-1", "replace")
    return data[:8] + len(text).to_bytes(2, "little") + text + data[10 + length :]


STRUCTURED: dict[str, Callable[[bytes, random.Random], bytes]] = {
    ".json": _json,
    ".yaml": _yaml,
    ".safetensors": _safetensors,
    ".png": _png,
    ".mp4": _mp4,
    ".npy": _npy,
    ".npz": _npz,
}
