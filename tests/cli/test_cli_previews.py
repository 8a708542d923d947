"""`--preview`: a file beside the output while it is being made, and pictures in terminals that can show them."""

import io

import numpy as np
import pytest
from command_fixtures import real_poses
from rich.console import Console
from textual_image.renderable import SixelImage, TGPImage

from onetoall_cli.animator import preview_file
from onetoall_cli.cli.preview_display import LINES, TerminalPreviews, terminal_previews
from onetoall_cli.media import open_video, read_metadata, write_picture
from onetoall_cli.sampling.previews import Preview


@pytest.fixture
def command(reference, ref_pose, model, tmp_path) -> list:
    poses = tmp_path / "dance.json"
    real_poses("dance_full", 9).save(poses)
    size = ["--short-side", 32, "--steps", 2, "--preview", "--compare"]  # two outputs, put in place together
    return ["animate", reference, poses, "--ref-pose", ref_pose, "--model", model, *size, "-o", "out.mp4"]


def test_the_preview_is_there_while_the_run_lasts_and_goes_with_its_end(
    onetoall, command, tmp_path, monkeypatch
) -> None:
    path, seen = tmp_path / "out.preview.webp", []
    write = preview_file._write

    def write_and_look(*arguments) -> None:
        write(*arguments)
        seen.append([frame.image.shape for frame in open_video(path)])

    monkeypatch.setattr(preview_file, "_write", write_and_look)
    assert onetoall(*command).exit_code == 0
    assert seen[0] == [(24, 16, 3)] * 3  # 9 frames are 3 latents
    assert (tmp_path / "out.mp4").exists() and not path.exists()


def test_a_file_of_somebody_else_is_not_replaced_and_a_preview_left_by_a_killed_run_is(
    onetoall, command, tmp_path
) -> None:
    path = tmp_path / "out.preview.webp"
    write_picture(path, np.zeros((8, 8, 3), np.uint8))
    refused = onetoall(*command)
    assert refused.exit_code == 2 and "is no preview of onetoall's" in refused.err
    path.unlink()
    preview_file._write(path, preview(), 4.0)
    assert read_metadata(path)["preview"] is True
    assert onetoall(*command).exit_code == 0 and not path.exists()


def preview(segment: int = 0, step: int = 1) -> Preview:
    return Preview(segment, step, 8, np.full((5, 6, 4, 3), 200, np.uint8))


@pytest.mark.parametrize(("picture", "escape"), [(SixelImage, "\x1bP"), (TGPImage, "\x1b_G")])
def test_terminals_are_sent_pictures_four_times_a_segment(picture, escape, monkeypatch, capsys) -> None:
    out = io.StringIO()
    monkeypatch.setattr("sys.__stdout__", out)  # where kitty's pictures go
    show = TerminalPreviews(Console(file=out, force_terminal=True, width=80, highlight=False), picture)
    for segment in (0, 1):
        for step in range(1, 9):
            show(preview(segment, step))
    said = out.getvalue()
    assert said.count(" of 8:") == 8 and "Segment 2, step 1 of 8:" in said
    assert said.count(escape) >= 8
    assert LINES < 24


def test_what_is_no_terminal_is_asked_nothing(capsys) -> None:
    assert terminal_previews(Console(stderr=True)) is None
    assert capsys.readouterr().out == ""
