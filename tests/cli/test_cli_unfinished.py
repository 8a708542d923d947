"""A run that is ended: what the command keeps and says, and how it goes on."""

import pytest
from command_fixtures import real_poses

from onetoall_cli.animator import kept_segments
from onetoall_cli.media import open_video


@pytest.fixture
def command(reference, ref_pose, model, tmp_path) -> list:
    poses = tmp_path / "dance.json"
    real_poses("dance_full", 13).save(poses)  # 2 segments of 9 frames
    size = ["--short-side", 32, "--steps", 1, "--segment-frames", 9]
    return ["animate", reference, poses, "--ref-pose", ref_pose, "--model", model, *size, "-o", "out.mp4"]


@pytest.fixture
def ended(onetoall, command, monkeypatch):
    """The command, ended behind its first segment."""
    finish = kept_segments.KeptSegments.finish

    def finish_and_end(self, state) -> None:
        finish(self, state)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(kept_segments.KeptSegments, "finish", finish_and_end)
        return onetoall(*command)


def test_a_run_that_is_ended_says_what_is_kept_and_its_command_goes_on(onetoall, ended, command, tmp_path) -> None:
    assert ended.exit_code == 130
    assert "1 segment(s) are kept in out.mp4.unfinished; the same command goes on" in ended.err
    told = onetoall("info", "out.mp4.unfinished", "--json").json
    assert (told["segments_done"], told["arguments"][0], told["arguments"][-1]) == (1, "animate", "out.mp4")
    assert "1 of 2 segments are done" in onetoall("info", "out.mp4.unfinished").out
    other = onetoall(*command, "--seed", 7)
    assert other.exit_code == 2 and "--seed was 42 and is 7" in other.err and "--restart" in other.err
    again = onetoall(*told["arguments"], "--overwrite")  # the command that `info` prints; a script may say more
    assert again.exit_code == 0 and "Continuing out.mp4 at segment 2" in again.err
    assert sum(1 for _ in open_video(tmp_path / "out.mp4")) == 13
    assert not (tmp_path / "out.mp4.unfinished").exists()


def test_a_run_stops_where_it_is_told_and_one_with_other_settings_takes_its_place_when_asked(
    onetoall, command, tmp_path
) -> None:
    stopped = onetoall(*command, "--stop-after-segment", 1)
    assert stopped.exit_code == 0 and "1 of 2 segments are made: look at out.mp4.unfinished/1.mkv" in stopped.out
    assert sum(1 for _ in open_video(tmp_path / "out.mp4.unfinished" / "1.mkv")) == 9
    assert not (tmp_path / "out.mp4").exists()
    again = onetoall(*command, "--seed", 7, "--restart")
    assert again.exit_code == 0 and "Continuing" not in again.err and (tmp_path / "out.mp4").exists()
