"""Outputs appear whole or not at all, and never in place of what is not ours."""

import json
import os
import stat
import threading

import pytest

from onetoall_cli.errors import BadInput
from onetoall_cli.files import together, whole_file, whole_folder
from onetoall_cli.files.contents import CONTENTS, check_ours, check_whole, write_list


def names(folder) -> list[str]:
    """What is in a folder, without our list of what is ours."""
    return sorted(path.name for path in folder.iterdir() if path.name != CONTENTS)


def write_folder(path, *files):
    with whole_folder(path, "frames") as temporary:
        for file in files:
            (temporary / file).parent.mkdir(parents=True, exist_ok=True)
            (temporary / file).write_text(file)


@pytest.fixture
def null(tmp_path):
    """A null device of our own."""
    try:
        os.mknod(tmp_path / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("only root makes devices")
    return tmp_path / "null"


def test_a_file_appears_when_the_block_ends(tmp_path):
    target = tmp_path / "out.txt"
    with whole_file(target) as temporary:
        temporary.write_text("new")
        assert not target.exists()
        assert temporary.suffix == ".txt"  # encoders choose the container by it
    assert target.read_text() == "new"
    assert names(tmp_path) == ["out.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, error):
    target = tmp_path / "out.txt"
    target.write_text("old")
    with pytest.raises(error), whole_file(target) as temporary:
        temporary.write_text("half")
        raise error
    assert target.read_text() == "old"
    assert names(tmp_path) == ["out.txt"]


def test_a_file_of_the_longest_name_can_be_written(tmp_path):
    target = tmp_path / ("x" * 251 + ".txt")
    with whole_file(target) as temporary:
        temporary.write_text("new")
    assert names(tmp_path) == [target.name]


def test_the_target_of_a_link_is_written_and_the_link_stays(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "file.txt").write_text("old")
    link = tmp_path / "link.txt"
    link.symlink_to("real/file.txt")
    with whole_file(link) as temporary:
        temporary.write_text("new")
    assert os.readlink(link) == "real/file.txt"
    assert (tmp_path / "real" / "file.txt").read_text() == "new"


def test_a_device_is_written_to_and_stays_a_device(null):
    with whole_file(null) as temporary:
        temporary.write_text("new")
    assert null.is_char_device()


def test_a_pipe_gets_the_contents_and_stays_a_pipe(tmp_path):
    pipe = tmp_path / "pipe.txt"
    os.mkfifo(pipe)
    got = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_text()))
    reader.start()
    with whole_file(pipe) as temporary:
        temporary.write_text("new")
    reader.join()
    assert got == ["new"]
    assert pipe.is_fifo()


def test_a_device_that_came_meanwhile_is_not_renamed_over(tmp_path):
    target = tmp_path / "out.txt"
    with pytest.raises(BadInput, match="no ordinary file"), whole_file(target) as temporary:
        temporary.write_text("new")
        os.mkfifo(target)
    assert target.is_fifo()


def test_a_folder_is_not_replaced_by_a_file(tmp_path):
    with pytest.raises(BadInput, match="is a folder"), whole_file(tmp_path):
        pass


def test_a_folder_replaces_our_old_one_only_when_complete(tmp_path):
    target = tmp_path / "folder"
    write_folder(target, "old", "sub/older", "both")
    with pytest.raises(ValueError), whole_folder(target, "frames") as temporary:
        (temporary / "new").touch()
        raise ValueError
    assert names(target) == ["both", "old", "sub"]
    write_folder(target, "new", "both")
    assert names(target) == ["both", "new"]
    check_ours(target, "frames")
    assert names(tmp_path) == ["folder"]


def test_a_folder_that_was_there_stays_the_same_folder(tmp_path):
    target, link = tmp_path / "folder", tmp_path / "link"
    write_folder(target, "old")
    link.symlink_to("folder")
    before = target.stat().st_ino
    write_folder(link, "new")
    assert (target.stat().st_ino, os.readlink(link), names(target)) == (before, "folder", ["new"])


@pytest.mark.parametrize("foreign", ["diary.txt", "sub/diary.txt", "empty/"])
def test_a_folder_that_holds_something_foreign_is_refused(tmp_path, foreign):
    target = tmp_path / "folder"
    write_folder(target, "old", "sub/old")
    if foreign.endswith("/"):
        (target / foreign).mkdir()
    else:
        (target / foreign).write_text("mine")
    with pytest.raises(BadInput, match=f"holds {foreign.rstrip('/')}"):
        write_folder(target, "new")
    assert (target / foreign).exists() and (target / "old").exists()


def test_a_folder_that_we_did_not_write_is_refused(tmp_path):
    (tmp_path / "diary.txt").write_text("mine")
    with pytest.raises(BadInput, match="which onetoall did not write"):
        write_folder(tmp_path, "new")
    assert names(tmp_path) == ["diary.txt"]


def test_a_folder_of_ours_of_another_kind_is_refused(tmp_path):
    target = tmp_path / "folder"
    write_folder(target, "0.png")
    with pytest.raises(BadInput, match=r"another kind \(frames, not model\)"), whole_folder(target, "model"):
        pass
    (target / "0.png").unlink()  # nothing is lost any more
    with whole_folder(target, "model") as temporary:
        (temporary / "weights").touch()
    assert names(target) == ["weights"]


def test_an_empty_folder_is_taken(tmp_path):
    write_folder(tmp_path, "new")
    assert names(tmp_path) == ["new"]


@pytest.mark.parametrize("clutter", [".DS_Store", "Thumbs.db", "desktop.ini", "._old"])
def test_what_file_managers_leave_is_not_foreign_and_stays(tmp_path, clutter):
    target = tmp_path / "folder"
    write_folder(target, "old")
    (target / clutter).write_text("x")
    write_folder(target, "new")
    assert names(target) == sorted(["new", clutter])


def test_what_came_while_a_folder_was_made_is_kept(tmp_path):
    target = tmp_path / "folder"
    write_folder(target, "old")
    with whole_folder(target, "frames") as temporary:
        (temporary / "new").write_text("new")
        (target / "diary.txt").write_text("mine")
    assert names(target) == ["diary.txt", "new"]
    with pytest.raises(BadInput, match="diary"):
        check_ours(target, "frames")


def test_what_came_under_a_name_of_ours_is_not_overwritten(tmp_path):
    target = tmp_path / "folder"
    with pytest.raises(BadInput, match="somebody else"), whole_folder(target, "frames") as temporary:
        (temporary / "new").write_text("new")
        target.mkdir()
        (target / "new").write_text("mine")
    assert (target / "new").read_text() == "mine"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "[" * 100_000,
        '{"files": 3}',
        '{"files": [3, null]}',
        '{"files": ["../outside", "/etc/passwd"]}',
        b"\xff\xfe",
    ],
)
def test_a_damaged_or_hostile_list_makes_nothing_ours(tmp_path, text):
    outside, target = tmp_path / "outside", tmp_path / "folder"
    outside.write_text("mine")
    target.mkdir()
    (target / "diary.txt").write_text("mine")
    (target / CONTENTS).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(BadInput, match="diary"):
        write_folder(target, "new")
    (target / "diary.txt").unlink()
    write_folder(target, "new")
    assert outside.read_text() == "mine"
    assert json.loads((target / CONTENTS).read_text())["files"] == ["new"]


def test_a_link_that_took_the_place_of_our_folder_is_not_written_through(tmp_path):
    target, photos = tmp_path / "folder", tmp_path / "photos"
    write_folder(target, "sub/a")
    photos.mkdir()
    (photos / "a").write_text("mine")
    (target / "sub" / "a").unlink()
    (target / "sub").rmdir()
    (target / "sub").symlink_to(photos)
    write_folder(target, "sub/a")
    assert (photos / "a").read_text() == "mine"
    assert (target / "sub" / "a").read_text() == "sub/a"


def test_a_run_killed_while_files_are_moved_leaves_a_folder_of_ours(tmp_path, monkeypatch):
    target = tmp_path / "folder"
    write_folder(target, "a", "b")
    replace = os.replace

    def killed(source, to):
        if os.path.basename(to) == "d":
            raise SystemExit
        replace(source, to)

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(os, "replace", killed)
        write_folder(target, "b", "c", "d")
    assert names(target) == ["a", "b", "c"]
    with pytest.raises(BadInput, match="half replaced"):
        check_whole(target)
    write_folder(target, "e")
    assert names(target) == ["e"]
    check_whole(target)


def test_a_half_replaced_folder_is_not_read(tmp_path):
    from onetoall_cli.alignment import Conditioning
    from onetoall_cli.hub import locate_model
    from onetoall_cli.media import open_video
    from onetoall_cli.pose import PoseSequence

    write_list(tmp_path, "model", {"a"}, is_whole=False)
    for reading in (Conditioning.load, open_video, PoseSequence.load, lambda folder: locate_model(str(folder))):
        with pytest.raises(BadInput, match="half replaced"):
            reading(tmp_path)


def test_outputs_that_belong_together_appear_together(tmp_path):
    with together():
        with whole_file(tmp_path / "a.txt") as temporary:
            temporary.write_text("a")
        write_folder(tmp_path / "b", "c")
        assert not [path for path in tmp_path.iterdir() if not path.name.startswith(".")]
    assert names(tmp_path) == ["a.txt", "b"]


def test_of_outputs_that_belong_together_all_fail_if_one_does(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(ValueError), together():
        with whole_file(tmp_path / "a.txt") as temporary:
            temporary.write_text("new")
        with whole_folder(tmp_path / "b", "frames"):
            raise ValueError
    assert names(tmp_path) == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"


def test_files_of_an_unfinished_folder_are_written_in_it(tmp_path):
    with together(), whole_folder(tmp_path / "folder", "frames") as folder:
        with whole_file(folder / "a.txt") as temporary:
            temporary.write_text("a")
        assert [path.name for path in folder.iterdir()] == ["a.txt"]
    assert names(tmp_path / "folder") == ["a.txt"]


def test_what_a_library_wrote_for_its_owner_alone_becomes_an_ordinary_file(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    for path in (elsewhere, tmp_path / "ordinary"):
        path.touch()
    elsewhere.chmod(0o600)
    with whole_folder(tmp_path / "folder", "frames") as temporary:
        (temporary / "weights").mkdir(mode=0o700)
        (temporary / "weights" / "private").touch(mode=0o600)
        (temporary / "link").symlink_to(elsewhere)
    ordinary = (tmp_path / "ordinary").stat().st_mode & 0o777
    assert (tmp_path / "folder" / "weights" / "private").stat().st_mode & 0o777 == ordinary
    assert (tmp_path / "folder" / "weights").stat().st_mode & 0o044 == ordinary & 0o044
    assert elsewhere.stat().st_mode & 0o777 == 0o600  # what is only pointed at is somebody else's
