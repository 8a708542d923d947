"""Damaged files that once ended in a bug: each is refused in one sentence, by the command that reads it."""

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from golden_recipe import DATA

from onetoall_cli.cli.info import shell_word
from onetoall_cli.errors import OnetoallError
from onetoall_cli.media import write_picture

from .doors import DOORS, RECORD

CASES = DATA / "cases"
PLACES = {  # where a door finds what a folder of cases holds
    "info": ("info", "."),
    "aligned": ("aligned folder", "aligned"),
    "catalogues": ("catalogue", "config/onetoall"),
    "indexes": ("index", "data/onetoall"),
    "models": ("model folder", "."),
    "arrays": ("arrays", "."),
}
FOUND = [f"{kind}/{path.name}" for kind in PLACES for path in sorted((CASES / kind).iterdir())]


@pytest.mark.parametrize("case", FOUND)
def test_a_damaged_file_is_refused_in_one_sentence(case: str, tmp_path: Path) -> None:
    kind, name = case.split("/")
    door, place = PLACES[kind]
    source, target = CASES / kind / name, tmp_path / place
    if source.is_dir():
        inner = source / "m" if (source / "m").is_dir() else source
        shutil.copytree(inner, target / "model" if inner != source else target, dirs_exist_ok=True)
    else:
        target.mkdir(exist_ok=True)
        shutil.copyfile(source, target / name)
    with pytest.raises(OnetoallError) as caught:
        DOORS[door].open(tmp_path)
    assert len(caught.value.problem.replace(str(tmp_path), "")) < 200


def test_info_prints_no_control_characters_of_a_file(onetoall, tmp_path) -> None:
    record = {**RECORD, "model": {"name": "\x1b[31mred\x1b[0m [bold]", "revision": "a\nb\u202e"}}
    write_picture(tmp_path / "a.png", np.zeros((8, 8, 3), np.uint8), metadata=record)
    printed = onetoall("info", "a.png").out
    assert r"name \x1b[31mred\x1b[0m [bold], revision a\nb\u202e" in printed
    assert not {character for character in printed if not character.isprintable()} - {"\n"}


@pytest.mark.parametrize(
    "name",
    [b"a b.png", b"it's.png", b"a\nb.png", b"\x1b[31m.png", b"caf\xe9.png", "日本.png".encode(), b"$HOME`x`.png"],
)
def test_the_command_of_info_is_quoted_for_a_shell(name: bytes) -> None:
    word = shell_word(os.fsdecode(name))
    assert word.isprintable()
    printed = subprocess.run(["bash", "-c", f"printf %s {word}"], capture_output=True, check=True).stdout
    assert printed == name


def test_a_name_that_begins_with_a_dash_or_is_not_utf8_comes_back_from_a_record(onetoall, tmp_path) -> None:
    from onetoall_cli.animator.inputs import name_of
    from onetoall_cli.animator.records import make_record, read_record

    names = [name_of(Path("-x.png")), name_of(Path(os.fsdecode(b"caf\xe9.mp4")))]
    record = make_record(["animate", *names], model=None, result={})
    write_picture(tmp_path / "a.png", np.zeros((8, 8, 3), np.uint8), metadata=record)
    assert read_record(tmp_path / "a.png").command() == ["animate", "./-x.png", os.fsdecode(b"caf\xe9.mp4")]
    assert shlex.split(onetoall("info", "a.png").out.splitlines()[0])[2] == "./-x.png"
