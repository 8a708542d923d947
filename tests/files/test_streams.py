"""Pipes and devices: what goes in, what comes out, and what is waited for."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from onetoall_cli.errors import BadInput
from onetoall_cli.files import streams
from onetoall_cli.files.streams import as_file, copy_to_stream, descriptor, ending_of, input_ending, is_output_stream


@pytest.fixture
def pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


@pytest.fixture
def filled():
    """Make an open pipe with something in it; gives the path a shell would give for `<(...)`."""
    opened = []

    def fill(contents: bytes):
        end, start = os.pipe()
        os.write(start, contents)
        os.close(start)
        opened.append(end)
        return os.path.join("/dev/fd", str(end))

    yield fill
    for end in opened:
        os.close(end)


def later(seconds, function, *arguments):
    thread = threading.Timer(seconds, function, arguments)
    thread.start()
    return thread


def test_names_of_open_files_are_known(tmp_path):
    (tmp_path / "link").symlink_to("/dev/stdout")
    (tmp_path / "7").touch()
    assert descriptor("-", dash=0) == 0 and descriptor("-", dash=1) == 1
    for name, number in (("/dev/stdout", 1), ("/dev/fd/7", 7), ("/proc/self/fd/3", 3), (tmp_path / "link", 1)):
        assert descriptor(Path(name), dash=1) == number
    for name in ("/dev/null", "7", "/proc/1/fd/1", tmp_path / "7", tmp_path / "absent", "x" * 1000):
        assert descriptor(Path(name), dash=1) is None


def test_a_link_to_itself_is_no_open_file(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    assert descriptor(tmp_path / "loop", dash=1) is None
    assert not is_output_stream(tmp_path / "loop")


def test_only_a_stream_goes_without_an_ending(pipe, tmp_path):
    assert ending_of(pipe, ".mp4") == ".mp4"
    assert ending_of(tmp_path / "file", ".mp4") == ""
    assert ending_of(tmp_path / "file.MKV", ".mp4") == ".mkv"


def test_a_file_is_read_where_it_is(tmp_path):
    (tmp_path / "a.txt").write_text("a")
    assert as_file(tmp_path / "a.txt") == tmp_path / "a.txt"
    assert as_file(tmp_path) == tmp_path
    assert as_file(tmp_path / "absent") == tmp_path / "absent"


@pytest.mark.parametrize(
    ("contents", "ending"),
    [
        (b'{"people": []}', ".json"),
        (b"\xef\xbb\xbf\n [1]", ".json"),
        (b"\x93NUMPY\x01\x00", ".npy"),
        (b"PK\x03\x04..", ".npz"),
        (b"\x89PNG\r\n", ".png"),
        (b"\xff\xd8\xff\xe0", ".jpg"),
        (b"GIF89a", ".gif"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", ".webp"),
        (b"RIFF\x10\0\0\0AVI LIST", ""),
        (b"\0\0\0\x18ftypheic", ".heic"),
        (b"\0\0\0\x18ftypavif", ".avif"),
        (b"\0\0\0\x18ftypisom", ""),
    ],
)
def test_what_comes_out_of_a_pipe_is_copied_and_recognised(filled, contents, ending):
    path = Path(filled(contents))
    assert input_ending(path) == ending
    assert as_file(path).read_bytes() == contents  # as often as asked


def test_a_named_pipe_is_read_under_its_own_ending(tmp_path):
    pipe = tmp_path / "dance.JSON"
    os.mkfifo(pipe)
    writer = later(0, pipe.write_bytes, b"x" * 3_000_000)
    assert as_file(pipe).stat().st_size == 3_000_000
    assert input_ending(pipe) == ".json"
    writer.join()


def test_an_empty_pipe_is_refused(filled):
    with pytest.raises(BadInput, match="Nothing came out"):
        as_file(Path(filled(b"")))


@pytest.mark.parametrize("device", ["/dev/null", "/dev/zero"])
def test_a_device_is_no_input(device):
    with pytest.raises(BadInput, match="device"):
        as_file(Path(device))


def test_a_pipe_without_a_writer_is_not_waited_for_in_silence(pipe, monkeypatch, caplog):
    monkeypatch.setattr(streams, "NOTE_AFTER", 0.2)
    monkeypatch.setattr(streams, "PATIENCE", 0.6)
    with pytest.raises(BadInput, match="Nobody writes into the pipe"):
        as_file(pipe)
    assert caplog.text.count("Waiting for") == 1


def test_a_writer_that_comes_late_or_is_slow_is_waited_for(pipe, monkeypatch, caplog):
    monkeypatch.setattr(streams, "NOTE_AFTER", 0.1)
    monkeypatch.setattr(streams, "PATIENCE", 0.8)

    def write():
        with open(pipe, "wb", buffering=0) as file:
            time.sleep(1.2)  # silent, but there
            file.write(b"late")

    writer = later(0.3, write)
    assert as_file(pipe).read_bytes() == b"late"
    assert "Waiting for" in caplog.text
    writer.join()


def test_an_open_pipe_is_waited_for(monkeypatch, caplog):
    monkeypatch.setattr(streams, "NOTE_AFTER", 0.1)
    end, start = os.pipe()
    writer = later(0.5, lambda: (os.write(start, b"late"), os.close(start)))
    assert as_file(Path(f"/dev/fd/{end}")).read_bytes() == b"late"
    assert "Waiting for" in caplog.text
    writer.join()
    os.close(end)


def test_a_pipe_that_nobody_reads_yet_is_waited_for(pipe, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(streams, "NOTE_AFTER", 0.1)
    (tmp_path / "file").write_bytes(b"x" * 200_000)  # more than a pipe holds
    got = []
    reader = later(0.5, lambda: got.append(pipe.read_bytes()))
    copy_to_stream(tmp_path / "file", pipe)
    reader.join()
    assert got == [b"x" * 200_000]
    assert "Waiting for somebody to read" in caplog.text


def test_the_copies_go_when_the_process_ends(tmp_path):
    script = "from onetoall_cli.files.streams import as_file, Path; print(as_file(Path('-')))"
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", script], input=b"{}", capture_output=True, env=environment, check=True)
    assert str(tmp_path) in done.stdout.decode()
    assert list(tmp_path.iterdir()) == []
