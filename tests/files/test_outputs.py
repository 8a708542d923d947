"""What cannot become an output, or would cost the user something, is refused before any work."""

import os
import shutil
import socket
import stat
from collections import namedtuple
from pathlib import Path

import pytest

from onetoall_cli.errors import BadInput, OutOfResources
from onetoall_cli.files import whole_folder
from onetoall_cli.files.outputs import LONGEST_DEFAULT, Output, check_outputs, default_name, shortened
from onetoall_cli.files.unfinished import sweep


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()


def check(*wanted: Output, inputs=(), overwrite=True):
    check_outputs(wanted, inputs=inputs, overwrite=overwrite)


def file(name, *endings, **more) -> Output:
    return Output(Path(name), endings, **more)


def folder(name, **more) -> Output:
    return Output(Path(name), kind="frames", **more)


def ours(name):
    with whole_folder(Path(name), "frames") as temporary:
        (temporary / "old.txt").write_text("old")


def refused(words: str, *wanted: Output, error=BadInput, **more):
    with pytest.raises(error) as caught:
        check(*wanted, **more)
    assert words in caught.value.problem
    assert caught.value.problem.endswith(".") and caught.value.advice.endswith(".")


def test_what_can_be_written_passes_and_leaves_nothing(tmp_path):
    check(file("a.json", ".json"), folder("frames", option="--frames"), inputs=[Path("in.mp4"), None])
    assert sorted(os.listdir()) == ["home"]


def test_what_exists_is_replaced_only_when_asked():
    Path("a.json").touch()
    ours("frames")
    check(file("a.json"), folder("frames"))
    refused("a.json already exists", file("a.json"), overwrite=False)
    refused("frames already exists", folder("frames"), overwrite=False)


@pytest.mark.parametrize("name", ["a.mp4", "a", "json", "a.json.txt", "a."])
def test_an_ending_that_is_not_written_is_refused(name):
    refused("cannot be written as", file(name, ".json"))


def test_endings_count_in_upper_case_too():
    check(file("a.JSON", ".json"))


def test_a_folder_that_is_missing_is_refused():
    refused("The output folder nowhere does not exist", file("nowhere/a.json"))
    refused("The output folder nowhere does not exist", folder("nowhere/frames"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_refused():
    Path("closed").mkdir(mode=0o500)
    refused("closed is not writable", file("closed/a.json"))


def test_a_folder_in_which_nothing_can_be_made_is_refused():
    refused("Cannot write in /proc", file("/proc/a.json"))


def test_a_path_through_a_file_is_refused():
    Path("a.json").touch()
    refused("Not a directory", file("a.json/b.json"))


@pytest.mark.parametrize("name", ["龙" * 90 + ".json", "x" * 300 + ".json", "x/" * 3000 + "a.json"])
def test_a_name_that_is_too_long_is_refused(name):
    refused("too long", file(name))


def test_an_input_that_cannot_exist_is_refused():
    Path("loop.mp4").symlink_to("loop.mp4")
    refused("File name too long", file("a.json"), inputs=[Path("x" * 300)])
    refused("Too many levels", file("a.json"), inputs=[Path("loop.mp4")])
    check(file("a.json"), inputs=[Path("absent.mp4")])


def test_the_longest_name_passes():
    check(file("x" * 250 + ".json"))


def test_a_file_is_no_folder_and_a_folder_no_file():
    Path("a").mkdir()
    Path("b").touch()
    refused("a is a folder", file("a"))
    refused("b is no folder", folder("b"))


def test_a_link_to_itself_is_refused():
    Path("loop.json").symlink_to("loop.json")
    refused("loop.json cannot be written", file("loop.json"))


def test_a_link_that_points_at_nothing_yet_passes():
    Path("link.json").symlink_to("new.json")
    check(file("link.json"), overwrite=False)


def test_a_socket_is_refused():
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind("a.sock")
        refused("no ordinary file", file("a.sock"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices")
def test_a_disk_is_refused_and_a_device_that_takes_bytes_passes():
    os.mknod("disk", 0o600 | stat.S_IFBLK, os.makedev(7, 250))  # a loop device that nobody has set up
    os.mknod("null", 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    refused("no ordinary file", file("disk"))
    check(file("null", ".json"), file("null", ".mp4", option="--preview"), overwrite=False)


def test_a_pipe_passes_but_not_for_a_folder_or_with_another_ending():
    os.mkfifo("pipe")
    os.mkfifo("pipe.txt")
    check(file("pipe", ".json"), overwrite=False)
    refused("pipe is no folder", folder("pipe"))
    refused("cannot be written as .txt", file("pipe.txt", ".json"))


def test_an_open_file_that_is_closed_or_only_read_is_refused():
    end, start = os.pipe()
    check(file(f"/dev/fd/{start}", ".json"))
    refused("may not be written", file(f"/dev/fd/{end}", ".json"))
    os.close(start)
    refused("closed", file(f"/dev/fd/{start}", ".json"))
    os.close(end)


def test_pictures_do_not_go_to_a_terminal():
    controller, terminal = os.openpty()
    refused("terminal", file(f"/dev/fd/{terminal}", ".mp4"))
    check(file(f"/dev/fd/{terminal}", ".json"))
    os.close(controller)
    os.close(terminal)


@pytest.mark.parametrize(
    "name", ["in.json", "./in.json", "sub/../in.json", "gone/../in.json", "link.json", "hard.json"]
)
def test_an_output_is_never_an_input_under_another_name(name):
    Path("sub").mkdir()
    Path("in.json").touch()
    Path("link.json").symlink_to("in.json")
    os.link("in.json", "hard.json")
    refused("is the input", file(name), inputs=[Path("in.json")])
    refused("is the input", file("in.json"), inputs=[Path(name)])
    refused("is the input", file(Path(name).absolute()), inputs=[Path("in.json")], overwrite=False)


def test_on_a_disk_that_ignores_case_an_output_is_never_an_input(monkeypatch):
    Path("in.json").touch()
    found = os.stat

    def ignoring_case(path, **more):
        return found(os.fspath(path).replace("IN.JSON", "in.json"), **more)

    monkeypatch.setattr(os, "stat", ignoring_case)
    refused("is the input", file("IN.JSON"), inputs=[Path("in.json")])


@pytest.mark.parametrize("inside", ["frames/in.json", "frames", "frames/sub/in.json", "alias/in.json", "outside.json"])
def test_a_folder_that_is_or_holds_an_input_is_refused(inside):
    ours("frames")
    Path("frames/sub").mkdir()
    for name in ("frames/in.json", "frames/sub/in.json"):
        Path(name).touch()
    Path("alias").symlink_to("frames")
    Path("outside.json").symlink_to("frames/in.json")
    refused("the input", folder("frames"), inputs=[Path(inside)])
    refused("the input", folder("alias"), inputs=[Path(inside)])


def test_a_folder_of_somebody_else_is_refused_by_a_name_that_leads_through_nothing():
    Path("photos").mkdir()
    Path("photos/mine.png").touch()
    refused("photos holds mine.png", folder("gone/../photos"))


def test_a_folder_that_holds_a_link_which_is_an_input_is_refused():
    ours("frames")
    Path("in.json").touch()
    Path("frames/link.json").symlink_to(Path("in.json").absolute())
    refused("holds the input", folder("frames"), inputs=[Path("frames/link.json")])


def test_one_file_of_an_input_folder_is_not_replaced():
    Path("poses").mkdir()
    Path("poses/0.json").touch()
    refused("is a part of the input poses", file("poses/0.json"), inputs=[Path("poses")])
    check(file("poses/new.json"), inputs=[Path("poses")])


@pytest.mark.parametrize("name", [".", "..", "/", "home", "above", "here"])
def test_a_folder_that_the_user_lives_in_is_refused(name, tmp_path, monkeypatch):
    Path("above/home").mkdir(parents=True)
    Path("here").symlink_to(".")
    if name == "above":
        monkeypatch.setenv("HOME", str(tmp_path / "above" / "home"))
    refused("which is yours", folder(name))


def test_a_folder_that_holds_something_foreign_is_refused():
    ours("frames")
    Path("frames/diary.txt").touch()
    refused("frames holds diary.txt, which onetoall did not write", folder("frames"))


@pytest.mark.parametrize("other", ["a.json", "./a.json", "A.json", "link.json"])
def test_two_outputs_in_one_place_are_refused(other):
    Path("link.json").symlink_to("a.json")
    refused("are the same", file("a.json"), file(other, option="--openpose"))


@pytest.mark.parametrize("other", ["frames/b.json", "alias/b.json"])
def test_an_output_inside_another_is_refused(other):
    ours("frames")
    Path("alias").symlink_to("frames")
    refused("lies in the other", folder("frames"), file(other))
    refused("lies in the other", file(other), folder("frames"))


def test_a_full_disk_is_said_before_any_work(monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9 - 10**6, 10**6))
    refused("is full: 1.0 MB are free", file("a.json"), error=OutOfResources)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(0, 0, 0))  # a network disk that does not say
    check(file("a.json"))


def test_a_deleted_current_folder_is_said(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    refused("has been deleted", file("a.json"))


def test_what_a_killed_run_left_goes_with_the_check():
    sweep.cache_clear()
    Path(".onetoall-abcdefgh.part").mkdir()
    check(file("a.json"))
    assert os.listdir() == ["home"]


def test_outputs_without_a_name_are_named_after_the_inputs():
    name = default_name(Path("a/ref.png"), Path("b/dance.v2.mp4"), ending=".mp4")
    assert name == Path("ref-dance.v2.mp4")
    assert default_name(Path("-"), ending=".pose.json") == Path("stdin.pose.json")


@pytest.mark.parametrize("word", ["龙" * 84, "x" * 250, "é" * 120, "\udcff" * 200])
def test_names_made_of_long_names_fit_every_disk(word):
    for inputs in ([word], [word, "short"], [word, word]):
        name = default_name(*(Path(f"{each}.mp4") for each in inputs), ending="-aligned")
        assert len(os.fsencode(name)) <= LONGEST_DEFAULT
        assert name.name.endswith("-aligned") and name.name.startswith(word[:10])
        check(file(name))


def test_a_name_is_cut_between_letters():
    assert shortened("龙龙龙", 8) == "龙龙"
    assert shortened("abc", 8) == "abc"
