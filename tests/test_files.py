"""Outputs appear whole or not at all."""

import pytest

from onetoall_cli.errors import BadInput
from onetoall_cli.files import check_output, whole_file, whole_folder


def test_a_file_appears_when_the_block_ends(tmp_path):
    target = tmp_path / "out.txt"
    with whole_file(target) as temporary:
        temporary.write_text("new")
        assert not target.exists()
    assert target.read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["out.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, error):
    target = tmp_path / "out.txt"
    target.write_text("old")
    with pytest.raises(error), whole_file(target) as temporary:
        temporary.write_text("half")
        raise error
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["out.txt"]


def test_a_folder_replaces_the_old_one_only_when_complete(tmp_path):
    target = tmp_path / "folder"
    target.mkdir()
    (target / "old").touch()
    with pytest.raises(ValueError), whole_folder(target) as temporary:
        (temporary / "new").touch()
        raise ValueError
    assert [path.name for path in target.iterdir()] == ["old"]
    with whole_folder(target) as temporary:
        (temporary / "new").touch()
    assert [path.name for path in target.iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_what_a_library_wrote_for_its_owner_alone_becomes_an_ordinary_file(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    for path in (elsewhere, tmp_path / "ordinary"):
        path.touch()
    elsewhere.chmod(0o600)
    with whole_folder(tmp_path / "folder") as temporary:
        (temporary / "weights").mkdir(mode=0o700)
        (temporary / "weights" / "private").touch(mode=0o600)
        (temporary / "link").symlink_to(elsewhere)
    ordinary = (tmp_path / "ordinary").stat().st_mode & 0o777
    assert (tmp_path / "folder" / "weights" / "private").stat().st_mode & 0o777 == ordinary
    assert (tmp_path / "folder" / "weights").stat().st_mode & 0o044 == ordinary & 0o044
    assert elsewhere.stat().st_mode & 0o777 == 0o600  # what is only pointed at is somebody else's


def test_what_cannot_become_an_output_is_refused_before_any_work(tmp_path):
    (tmp_path / "there").touch()
    with pytest.raises(BadInput, match="already exists"):
        check_output(tmp_path / "there", overwrite=False)
    check_output(tmp_path / "there", overwrite=True)
    with pytest.raises(BadInput, match="does not exist"):
        check_output(tmp_path / "nowhere" / "out", overwrite=True)
    with pytest.raises(BadInput, match="is a folder"), whole_file(tmp_path):
        pass
