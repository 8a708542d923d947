"""The settings kept inside every output come back as they went in, and other programs' comments are left alone."""

from fractions import Fraction
from pathlib import Path

import av
import pytest
from made_media import HEIGHT, WIDTH, make_video, picture
from PIL import Image, PngImagePlugin

from onetoall_cli.errors import BadInput
from onetoall_cli.media import FrameFolderWriter, VideoWriter, probe, read_metadata, write_picture
from onetoall_cli.media.containers import WRITTEN

SETTINGS = {
    "title": 'Two = "three"; it\'s ünïcödé 舞',
    "seed": 42,
    "steps": 30,
    "prompt": "a\nlong\tprompt \\ with #signs " * 40,
    "nested": {"guidance": [2.5, 1.5], "none": None, "yes": True},
}


@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize("suffix", [suffix for suffix, row in WRITTEN.items() if row.video])
def test_settings_come_back_from_every_kind_of_video(tmp_path, suffix, frames):
    with VideoWriter(tmp_path / f"out{suffix}", WIDTH, HEIGHT, fps=25, metadata=SETTINGS) as writer:
        for number in range(frames):
            writer.write(picture(number))
    assert read_metadata(tmp_path / f"out{suffix}") == SETTINGS


@pytest.mark.parametrize("suffix", [suffix for suffix, row in WRITTEN.items() if row.picture])
def test_settings_come_back_from_every_kind_of_picture(tmp_path, suffix):
    write_picture(tmp_path / f"out{suffix}", picture(1), SETTINGS)
    assert read_metadata(tmp_path / f"out{suffix}") == SETTINGS


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_other_programs_see_a_title_and_a_comment(tmp_path, suffix):
    with VideoWriter(tmp_path / f"out{suffix}", WIDTH, HEIGHT, fps=25, metadata=SETTINGS) as writer:
        writer.write(picture(0))
    with av.open(str(tmp_path / f"out{suffix}")) as container:
        tags = {key.lower(): value for key, value in container.metadata.items()}
    assert tags["title"] == SETTINGS["title"] and '"seed": 42' in tags["comment"]


def test_paths_and_fractions_are_kept_as_their_text(tmp_path):
    write_picture(tmp_path / "a.png", picture(0), {"model": Path("a/b"), "fps": Fraction(30000, 1001)})
    assert read_metadata(tmp_path / "a.png") == {"model": str(Path("a/b")), "fps": "30000/1001"}


def test_an_output_without_settings_has_none(tmp_path):
    with VideoWriter(tmp_path / "a.mp4", WIDTH, HEIGHT, fps=25) as writer:
        writer.write(picture(0))
    write_picture(tmp_path / "a.png", picture(0))
    assert read_metadata(tmp_path / "a.mp4") is None and read_metadata(tmp_path / "a.png") is None


@pytest.mark.parametrize("comment", ["vid:v0d00fg10000", '{"workflow": 1}', "[1, 2]", "", "{", '{"onetoall": 3}'])
def test_the_comments_of_other_programs_are_not_settings(tmp_path, comment):
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        container.metadata["comment"] = comment
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(0))))
        container.mux(stream.encode(None))
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", comment)
    Image.fromarray(picture(0)).save(tmp_path / "a.png", pnginfo=info)
    assert read_metadata(tmp_path / "a.mp4") is None and read_metadata(tmp_path / "a.png") is None


@pytest.mark.parametrize("name", ["missing.mp4", "missing.png", "text.mp4"])
def test_a_file_that_is_none_is_refused(tmp_path, name):
    (tmp_path / "text.mp4").write_text("words")
    with pytest.raises(BadInput, match=name):
        read_metadata(tmp_path / name)


def test_a_gif_with_settings_still_plays(tmp_path):
    with VideoWriter(tmp_path / "a.gif", WIDTH, HEIGHT, fps=25, metadata=SETTINGS) as writer:
        for number in range(4):
            writer.write(picture(number))
    with Image.open(tmp_path / "a.gif") as image, av.open(str(tmp_path / "a.gif")) as container:
        assert image.n_frames == 4 and len(list(container.decode(video=0))) == 4
        assert image.info["loop"] == 0


def test_probe_tells_what_a_file_holds(tmp_path):
    video = probe(make_video(tmp_path / "v.mkv", range(10), fps=20))
    assert (video.kind, video.width, video.height, video.frames) == ("video", WIDTH, HEIGHT, 10)
    assert (video.fps, video.duration, video.video_codec, video.audio_codec) == (20, 0.5, "h264", None)
    write_picture(tmp_path / "p.png", picture(0))
    assert (probe(tmp_path / "p.png").kind, probe(tmp_path / "p.png").frames) == ("picture", 1)
    with FrameFolderWriter(tmp_path / "frames") as folder:
        folder.write(picture(0))
    assert probe(tmp_path / "frames").kind == "folder"
