"""Manifests and folders as rows: equal in every form, and what is wrong has its line."""

from pathlib import Path

import pytest

from onetoall_cli.batch import rows_of_folders, rows_of_manifest
from onetoall_cli.errors import BadInput

YAML = """\
defaults: {model: tiny, steps: 2}   # for all
jobs:
  - {command: animate, reference: a.png, driving: d.mp4, seed: 8}

  - command: transfer
    reference: a.png
    pose: p.json
"""
JSON_LINES = '{"command": "animate", "reference": "a.png", "driving": "d.mp4", "seed": 8}\n\n{"command": "transfer"}\n'
CSV = "command,reference,driving,seed\nanimate,a.png,d.mp4,8\n\ntransfer,a.png,,\n"


@pytest.mark.parametrize(("name", "text"), [("j.yaml", YAML), ("j.jsonl", JSON_LINES), ("j.csv", CSV)])
def test_rows_are_read_with_their_lines(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    rows, defaults = rows_of_manifest(path)
    first = {**rows[0].values, "seed": int(rows[0].values["seed"])}
    assert first == {"command": "animate", "reference": "a.png", "driving": "d.mp4", "seed": 8}
    assert rows[1].values["command"] == "transfer" and "seed" not in rows[1].values
    assert [row.place for row in rows] == [
        f"{path}, line {n}" for n in {"j.yaml": (3, 5), "j.jsonl": (1, 3)}.get(name, (2, 4))
    ]
    assert defaults == ({"model": "tiny", "steps": 2} if name == "j.yaml" else {})


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("j.txt", "", "is no manifest"),
        ("j.yaml", "jobs: []", "has no jobs"),
        ("j.yaml", "job: []", "job is no known key"),
        ("j.yaml", "jobs: [3]", "jobs.0 should be a mapping"),
        ("j.yaml", "jobs: &a [{}]", "anchor"),
        ("j.jsonl", "{}\nnonsense\n", "line 2 is not JSON"),
        ("j.csv", "command\nanimate,more\n", "line 2 has more cells"),
        ("j.yaml", "jobs: [{a: 1, a: 2}]", "more than once"),
    ],
)
def test_what_is_no_manifest_is_named(tmp_path: Path, name: str, text: str, problem: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(BadInput, match=problem):
        rows_of_manifest(path)


def test_folders_give_every_couple_or_those_of_equal_name(tmp_path: Path) -> None:
    for name in ("refs/a.png", "refs/b.jpg", "refs/note.txt", "dances/a.mp4", "dances/c.json", "dances/.hidden.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    rows, unused = rows_of_folders(tmp_path / "refs", tmp_path / "dances", pairs=False)
    assert [row.place for row in rows] == [
        "a.png with a.mp4",
        "a.png with c.json",
        "b.jpg with a.mp4",
        "b.jpg with c.json",
    ]
    assert unused == [str(tmp_path / "refs" / "note.txt")]
    rows, unused = rows_of_folders(tmp_path / "refs", tmp_path / "dances", pairs=True)
    assert [row.place for row in rows] == ["a.png with a.mp4"]
    assert len(unused) == 3
    with pytest.raises(BadInput, match="hold no pictures and motions"):
        rows_of_folders(tmp_path / "dances", tmp_path / "refs", pairs=False)
