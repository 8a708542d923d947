"""Typed forms: a wrong value is one sentence with its place, what is expected and what stands there."""

from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import Field

from onetoall_cli.errors import BadInput
from onetoall_cli.files.forms import Form, InsidePath, check, json_text, read_form, yaml_text


class Step(Form):
    kind: Literal["pose", "face"]
    rate: float = Field(1e-5, gt=0)
    size: tuple[int, int] = (384, 640)


class Recipe(Form):
    steps: dict[str, Step] = Field(default_factory=dict)
    data: Path | None = None
    seeds: tuple[int, ...] = ()
    note: str | Step = ""


def sentence(value: Any) -> str:
    with pytest.raises(BadInput) as caught:
        check(Recipe, value, source="r.yaml", advice="Look.")
    assert caught.value.advice == "Look."
    return caught.value.problem


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ([], "r.yaml should be a mapping, not a list of 0."),
        ({"seeds": "x"}, "r.yaml: seeds should be a list, not 'x'."),
        ({"seeds": [1, "2"]}, "r.yaml: seeds.1 should be a whole number, not '2'."),
        ({"seeds": [True]}, "r.yaml: seeds.0 should be a whole number, not true."),
        ({"seed": [1]}, "r.yaml: seed is no known key (did you mean 'seeds'?)."),
        ({"x": 1}, "r.yaml: x is no known key (known are steps, data, seeds, note)."),
        ({"steps": {"a": {}}}, "r.yaml: steps.a lacks kind."),
        ({"steps": {"a": {"kind": "pse"}}}, "r.yaml: steps.a.kind should be 'pose' or 'face', not 'pse'."),
        ({"steps": {"a": {"kind": "pose", "rat": 1}}}, "r.yaml: steps.a.rat is no known key (did you mean 'rate'?)."),
        ({"steps": {"a": {"kind": "pose", "rate": 0}}}, "r.yaml: steps.a.rate should be greater than 0, not 0."),
        (
            {"steps": {"a": {"kind": "pose", "rate": float("nan")}}},
            "r.yaml: steps.a.rate should be a finite number, not nan.",
        ),
        ({"steps": {"a": {"kind": "pose", "size": [1]}}}, "r.yaml: steps.a.size lacks 1."),
        ({"note": {"kind": "pse"}}, "r.yaml: note.kind should be 'pose' or 'face', not 'pse'."),
        ({"data": None, "seeds": None}, "r.yaml: seeds should be a list, not nothing (null)."),
    ],
)
def test_a_wrong_value_is_one_sentence(value: Any, wanted: str) -> None:
    assert sentence(value) == wanted


def test_hostile_values_make_short_and_harmless_sentences() -> None:
    assert len(sentence({"x" * 10**6: 1})) < 300
    assert len(sentence({"seeds": "y" * 10**6})) < 300
    assert len(sentence({f"x{n}": n for n in range(10**4)})) < 300
    assert "\x1b" not in sentence({"\x1b[2J": 1}) + sentence({"seeds": "\x1b[2J"})


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    recipe = Recipe(steps={"1": Step(kind="face", rate=1e-7)}, data=Path("off"), seeds=(1, 2), note="yes: no")
    (tmp_path / "r.yaml").write_text(yaml_text(recipe), encoding="utf-8")
    (tmp_path / "r.json").write_text(json_text(recipe), encoding="utf-8")
    (tmp_path / "empty.yaml").write_text("# all as it is\n", encoding="utf-8")
    assert read_form(Recipe, tmp_path / "r.yaml", advice="") == recipe
    assert read_form(Recipe, tmp_path / "r.json", advice="") == recipe
    assert read_form(Recipe, tmp_path / "empty.yaml", advice="") == Recipe()


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../a", "a/../../b", "a\\b", "c:a", "a\0b", "x" * 256, "a/" * 600])
def test_a_path_of_a_file_stays_inside_its_folder_and_fits_a_disk(path: str) -> None:
    assert check(InsidePath, "a/b.json", source="x", advice="") == "a/b.json"
    with pytest.raises(BadInput, match="should be a path"):
        check(InsidePath, path, source="x", advice="")
