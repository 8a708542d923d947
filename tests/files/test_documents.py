"""JSON and YAML from outside: what cannot be read ends in one bounded sentence, and nothing grows while it is read."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from onetoall_cli.errors import BadInput
from onetoall_cli.files.documents import MAX_DEPTH, parse_json, parse_yaml, read_document

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
ALIASES = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@settings(max_examples=50)
@given(PLAIN)
def test_what_is_written_is_read_back(value: Any) -> None:
    assert parse_json(json.dumps(value), source="x", advice="y") == value
    if isinstance(value, dict):
        text = yaml.safe_dump(value, allow_unicode=True)
        assert parse_yaml(text, source="x", advice="y") == value


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"\xff\xfe{\x00}\x00", "not UTF-8"),
        (b'"\\ud800', "not JSON: line 1"),
        (b'["\\uD800"]', "not UTF-8"),
        (b"[" * 10**6, f"deeper than {MAX_DEPTH}"),
        (b'{"a":' * 10**5, f"deeper than {MAX_DEPTH}"),
        (b'"' + b'\\"' * 10**6, "not JSON"),
        (b'{"steps": 1, "b": {"x": 1, "x": 2}}', "the key 'x' more than once"),
        (b"9" * 5000, "a number is too long"),
        (b" " * (5 * 2**20), "larger than 4 MB"),
    ],
)
def test_json_that_cannot_be_read_is_one_sentence(data: bytes, problem: str) -> None:
    with pytest.raises(BadInput, match=problem) as caught:
        parse_json(data, source="x.json", advice="Look.")
    assert caught.value.problem.startswith("x.json") and len(caught.value.problem) < 120


def test_a_small_file_of_lists_that_would_fill_memory_is_refused_before_it_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("onetoall_cli.files.documents.MAX_CONTAINERS", 10**6)
    with pytest.raises(BadInput, match="more than 1 million lists"):
        parse_json(b"[" + b"[]," * 10**6 + b"0]", source="x", advice="y")


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (ALIASES, "line 1, has an anchor or alias"),
        ("a: !!python/object:os.system x", "has a tag"),
        ("[" * 100, f"deeper than {MAX_DEPTH}"),
        ("[" * 10**5, "maximum nesting depth|deeper"),
        ("- " * 10**4, f"deeper than {MAX_DEPTH}"),
        ("a: 1\nb: 2\na: 3", "the key 'a' more than once"),
        ("? [a]\n: 1", "a list or a mapping as a key"),
        ("a: 1\n---\nb: 2", "2 YAML documents"),
        ("a: [1, 2", "not valid YAML: line 2"),
        ("a: \x01", "not valid YAML"),
        ("a: é".encode("latin-1"), "not UTF-8"),
        ("a: b".encode("utf-16"), "not UTF-8"),
        ("a: " + "9" * 5000, "a number that is too long"),
        ("#" * (2 * 2**20), "larger than 1 MB"),
    ],
)
def test_yaml_that_cannot_be_read_is_one_sentence(data: Any, problem: str) -> None:
    with pytest.raises(BadInput, match=problem) as caught:
        parse_yaml(data, source="x.yaml", advice="Look.")
    assert caught.value.problem.startswith("x.yaml") and len(caught.value.problem) < 160


def test_yaml_is_read_as_version_1_2_has_it() -> None:
    text = "{face: off, rate: 1e-5, when: 2024-01-01, at: 1:30, 1.3: yes, n: ~, k: 010, s: 'true', t: true}"
    wanted = {"face": "off", "rate": 1e-5, "when": "2024-01-01", "at": "1:30", "1.3": "yes"}
    assert parse_yaml(text, source="x", advice="y") == {**wanted, "n": None, "k": 10, "s": "true", "t": True}
    assert parse_yaml("# nothing", source="x", advice="y") is None


def test_the_ending_of_a_name_tells_the_format(tmp_path: Path) -> None:
    for name, text in {"a.yaml": "a: [1]", "a.yml": "a: [1]", "a.json": '\ufeff{"a": [1]}', "a": '{"a": [1]}'}.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
        assert read_document(tmp_path / name, advice="") == {"a": [1]}


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.json", tmp_path, tmp_path / "a\0b.json"):
        with pytest.raises(BadInput, match="cannot be read"):
            read_document(path, advice="")
