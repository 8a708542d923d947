"""JSON and YAML from outside, read into plain values: bounded in size and depth, UTF-8 only, no key twice.

`forms` checks the values against a type. Nothing here trusts a file: each function ends in a value or in `BadInput`.
"""

import json
import re
from collections import Counter
from itertools import accumulate
from pathlib import Path
from typing import Any

import yaml

from onetoall_cli.display_text import displayed
from onetoall_cli.errors import BadInput
from onetoall_cli.files.streams import as_file

MAX_JSON = 4 * 2**20  # bytes; a 14B model's index of tensors has 0.2 MB
MAX_YAML = 2**20  # bytes; read at about 5 MB a second
MAX_DEPTH = 32  # lists and mappings inside each other; our own files have up to 6

_YAML_SUFFIXES = (".yaml", ".yml")
# Lists and mappings in a JSON file, which take about 100 bytes each in memory, however few in the file; poses of an
# hour have 6 million as nested lists of points.
MAX_CONTAINERS = 10**7

_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_PARSER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# YAML 1.2's core schema: unlike 1.1's it has no `off` for false, no dates and no 1:30 for 90.
_NULL = re.compile(r"~|null|Null|NULL|")
_BOOLEAN = re.compile(r"true|True|TRUE|false|False|FALSE")
_WHOLE = re.compile(r"[-+]?[0-9]+(_[0-9]+)*")  # with 1.1's 75_128 for large sizes
_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


def read_document(path: Path, *, advice: str, max_bytes: int | None = None) -> Any:
    """The plain value in a file: YAML where its name ends in .yaml or .yml, else JSON.

    Args:
        path: The file; a pipe or `-` too.
        advice: The second sentence of every error.
        max_bytes: Larger files are refused; `MAX_YAML` or `MAX_JSON` if None.

    Raises:
        BadInput: The file cannot be read, is too large, not UTF-8, not of its format, nested deeper than `MAX_DEPTH`,
            or has a key twice.
    """
    is_yaml = path.suffix.lower() in _YAML_SUFFIXES
    limit = max_bytes or (MAX_YAML if is_yaml else MAX_JSON)
    try:
        with open(as_file(path), "rb") as file:
            data = file.read(limit + 1)
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        reason = getattr(error, "strerror", None) or error
        raise BadInput(f"{path} cannot be read: {reason}.", advice) from error
    parse = parse_yaml if is_yaml else parse_json
    return parse(data, source=str(path), advice=advice, max_bytes=limit)


def parse_json(data: bytes | str, *, source: str, advice: str, max_bytes: int = MAX_JSON) -> Any:
    """The plain value in a JSON text.

    Args:
        data: The text; a mark of byte order is passed over.
        source: What the text is called in errors.
        advice: The second sentence of every error.
        max_bytes: Longer texts are refused.

    Raises:
        BadInput: As `read_document`.
    """
    text = _text(data, source, advice, max_bytes)
    _check_nesting(data if isinstance(data, bytes) else text.encode(), source, advice)
    try:
        value = json.loads(text, object_pairs_hook=lambda pairs: _mapping(pairs, source, advice))
        if r"\ud" in text.lower():  # escapes can spell lone surrogates, which are no text
            json.dumps(value, ensure_ascii=False).encode("utf-8")
        return value
    except UnicodeEncodeError as error:
        raise BadInput(f"{source} is not UTF-8 text.", advice) from error
    except json.JSONDecodeError as error:
        raise BadInput(f"{source} is not JSON: line {error.lineno}, {error.msg}.", advice) from error
    except ValueError as error:  # a number of thousands of digits
        raise BadInput(f"{source} is not JSON: a number is too long.", advice) from error


def parse_yaml(data: bytes | str, *, source: str, advice: str, max_bytes: int = MAX_YAML) -> Any:
    """The plain value in a YAML text: one document, read by YAML 1.2's core schema, keys as text.

    Anchors, aliases (which can make kilobytes into gigabytes) and tags (which can name Python objects) are refused.

    Args and errors as in `parse_json`.
    """
    text = _text(data, source, advice, max_bytes)
    try:
        return _Builder(source, advice).build(text)
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}, " if error.problem_mark else ""
        raise BadInput(f"{source} is not valid YAML: {line}{error.problem}.", advice) from error
    except yaml.YAMLError as error:
        raise BadInput(f"{source} is not valid YAML: {error}.".replace("\n", " "), advice) from error


class _Builder:
    """Builds a value from YAML's events, without recursion."""

    def __init__(self, source: str, advice: str) -> None:
        self._source, self._advice = source, advice

    def build(self, text: str) -> Any:
        open_nodes: list[list[Any]] = [[]]  # items so far of what is open; keys and values alternate in a mapping
        documents = 0
        for event in yaml.parse(text, Loader=_PARSER):
            line = event.start_mark.line + 1 if event.start_mark else 0
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                raise self._refusal(line, "has an anchor or alias (& or *), which are not read")
            if getattr(event, "tag", None):
                raise self._refusal(line, "has a tag (!), which are not read")
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
            elif isinstance(event, yaml.ScalarEvent):
                open_nodes[-1].append(event.value if event.style else self._scalar(event.value, line))
            elif isinstance(event, (yaml.SequenceStartEvent, yaml.MappingStartEvent)):
                open_nodes.append([])
            elif isinstance(event, yaml.SequenceEndEvent):
                items = open_nodes.pop()
                open_nodes[-1].append(items)
            elif isinstance(event, yaml.MappingEndEvent):
                items = open_nodes.pop()
                open_nodes[-1].append(self._mapping(items, line))
            if len(open_nodes) > MAX_DEPTH + 1:
                raise self._refusal(line, f"is nested deeper than {MAX_DEPTH} levels")
        if documents > 1:
            raise BadInput(f"{self._source} holds {documents} YAML documents instead of one.", self._advice)
        return open_nodes[0][0] if open_nodes[0] else None

    def _mapping(self, items: list[Any], line: int) -> dict[str, Any]:
        pairs = list(zip(items[::2], items[1::2], strict=True))
        if any(isinstance(key, (list, dict)) for key, _ in pairs):
            raise self._refusal(line, "has a list or a mapping as a key")
        return _mapping([(str(key), value) for key, value in pairs], self._source, self._advice)

    def _scalar(self, text: str, line: int) -> Any:
        if _NULL.fullmatch(text):
            return None
        if _BOOLEAN.fullmatch(text):
            return text.lower() == "true"
        if _WHOLE.fullmatch(text):
            try:
                return int(text)
            except ValueError:
                raise self._refusal(line, "has a number that is too long") from None
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan")) if _NUMBER.fullmatch(text) else text

    def _refusal(self, line: int, problem: str) -> BadInput:
        return BadInput(f"{self._source}, line {line}, {problem}.", self._advice)


def _text(data: bytes | str, source: str, advice: str, max_bytes: int) -> str:
    if len(data) > max_bytes:
        raise BadInput(f"{source} is larger than {max_bytes / 2**20:.3g} MB.", advice)
    try:
        text = data.decode("utf-8-sig") if isinstance(data, bytes) else data
        text.encode("utf-8")  # lone surrogates are no text
    except UnicodeError as error:
        raise BadInput(f"{source} is not UTF-8 text.", advice) from error
    return text


def _check_nesting(data: bytes, source: str, advice: str) -> None:
    if data.count(b"[") + data.count(b"{") > MAX_CONTAINERS:
        raise BadInput(f"{source} holds more than {MAX_CONTAINERS // 10**6} million lists.", advice)
    brackets = _STRING.sub(b"", data).translate(None, _NO_BRACKETS)
    if max(accumulate(map(_STEPS.__getitem__, brackets)), default=0) > MAX_DEPTH:
        raise BadInput(f"{source} is nested deeper than {MAX_DEPTH} levels.", advice)


def _mapping(pairs: list[tuple[str, Any]], source: str, advice: str) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        twice, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise BadInput(f"{source} has the key '{displayed(twice)}' more than once.", advice)
    return mapping
