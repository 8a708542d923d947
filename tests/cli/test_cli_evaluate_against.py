"""`onetoall evaluate --against`: paired differences, a blind study, and the count of its answers."""

import json
import re

import numpy as np
import pytest
from command_fixtures import real_poses

from onetoall_cli.animator import Result
from onetoall_cli.evaluation.pairs.comparison import compare
from onetoall_cli.evaluation.pairs.evaluation import ClipScores, PairEvaluation
from onetoall_cli.evaluation.pairs.protocols import PROTOCOLS
from onetoall_cli.media import FrameFolderWriter, read_picture

CLIPS = 6


@pytest.fixture
def results(tmp_path, machine):
    """Folders A, B and T of clips; B is always nearer to T, by less than clips differ."""
    rng = np.random.default_rng(0)
    for number in range(CLIPS):
        true = rng.integers(60, 180, (3, 40, 48, 3), np.uint8)
        for side, error in (("T", 0), ("A", 3 + 5 * number), ("B", 2 + 5 * number)):
            (tmp_path / side).mkdir(exist_ok=True)
            with FrameFolderWriter(tmp_path / side / f"clip{number}") as folder:
                for frame in true:
                    folder.write(frame + np.uint8(error))
    return tmp_path


def test_paired_differences_tell_apart_what_means_do_not(onetoall, results) -> None:
    command = ("evaluate", "--against", "A", "B", "--truth", "T", "--metrics", "psnr,ssim")
    shown = onetoall(*command, "--markdown", "card.md")
    assert shown.exit_code == 0, shown.err
    assert "B better" in shown.out and "B - A" in shown.out
    assert "| PSNR dB |" in (results / "card.md").read_text()
    found = onetoall(*command, "--json").json
    psnr = found["differences"]["psnr"]
    expected = np.mean([20 * np.log10((3 + 5 * n) / (2 + 5 * n)) for n in range(CLIPS)])
    assert psnr["value"] == pytest.approx(expected) and psnr["low"] > 0
    low_b, high_a = found["b"]["metrics"]["psnr"]["interval"][0], found["a"]["metrics"]["psnr"]["interval"][1]
    assert low_b < high_a  # unpaired, the intervals overlap
    near = onetoall("evaluate", "--against", "A", "B", "--metrics", "psnr", "--json").json
    assert near["names"] == ["A", "B"] and near["metrics"]["psnr"]["mean"] == pytest.approx(20 * np.log10(255))
    same = onetoall("evaluate", "--against", "A", "A", "--truth", "T", "--metrics", "psnr")
    assert "not told apart" in same.out


def of_csim(*values: float) -> PairEvaluation:
    clips = [
        ClipScores(str(number), 1, 25, 64, 64, False, {"csim": np.array([value])}, {})
        for number, value in enumerate(values)
    ]
    return PairEvaluation(PROTOCOLS["default"], "videos", clips, [])


def test_clips_without_a_value_on_one_side_count_on_neither() -> None:
    (found,) = compare(of_csim(0.5, 0.7, 0.5, 0.7, 0.6, 0.1), of_csim(0.6, 0.9, 0.6, 0.9, 0.75, float("nan")))
    assert (found.a, found.b, found.value) == pytest.approx((0.6, 0.75, 0.15))
    assert found.verdict == "B better"
    (nothing,) = compare(of_csim(float("nan")), of_csim(0.5))
    assert np.isnan(nothing.value)


def evaluation(windows: int) -> PairEvaluation:
    vectors = np.random.default_rng(0).normal(size=(windows, 4)).astype(np.float32)
    clip = ClipScores("clip", 16 * windows, 25, 64, 64, False, {}, {"fvd": (vectors, vectors + 1)})
    return PairEvaluation(PROTOCOLS["default"], "videos", [clip], [])


def test_distances_of_unequal_numbers_of_vectors_are_not_compared() -> None:
    (refused,) = compare(evaluation(4), evaluation(5))
    assert np.isnan(refused.value) and refused.verdict == "not comparable: N = 4 and 5"
    (allowed,) = compare(evaluation(4), evaluation(4))
    assert allowed.value == 0 and allowed.verdict == "N = 4"


def page_content(text: str) -> dict:
    return json.loads(re.search(r'id="study">(.*?)</script>', text, re.DOTALL)[1])


def test_a_study_is_blind_and_its_answers_are_counted_by_the_key(onetoall, results) -> None:
    question = "Which </script> one?"
    made = onetoall("evaluate", "--against", "A", "B", "--study", "s.html", "--question", question, "--json")
    assert made.exit_code == 0, made.err
    page, key = (results / "s.html").read_text(), json.loads((results / "s-key.json").read_text())
    content = page_content(page)
    assert content["question"] == question and content["kind"] == "videos" and len(content["pairs"]) == CLIPS
    assert "http" not in page and "clip0" not in page  # nothing from elsewhere, nothing that tells
    assert all(
        pair[side].startswith("data:video/mp4;base64,") for pair in content["pairs"] for side in ("left", "right")
    )
    assert read_picture(results / "s.png").shape[0] > CLIPS * 320
    for rater, wishes in {"one": ["b"] * CLIPS, "two": ["b", "b", "b", "b", "a", "equal"]}.items():
        answers = []
        for (pair, sides), wish in zip(key["pairs"].items(), wishes, strict=True):
            choice = "equal" if wish == "equal" else "left" if sides["left"] == wish else "right"
            answers.append({"pair": pair, "choice": choice})
        text = json.dumps(
            {"format": "onetoall-study-answers", "study": key["study"], "rater": rater, "answers": answers}
        )
        (results / f"{rater}.json").write_text(text)
    counted = onetoall("evaluate", "--answers", "s-key.json", "one.json", "two.json", "--json").json
    share, low, high = counted["shares"]["b"]
    assert share == pytest.approx(10 / 12) and low < share <= high
    assert counted["clips"]["clip4"] == {"b": 1, "a": 1}
    again = onetoall("evaluate", "--against", "A", "B", "--study", "s.html")
    assert again.exit_code == 2 and "key of an earlier study" in again.err
    assert "83.3%" in onetoall("evaluate", "--answers", "s-key.json", "one.json", "two.json").out


def test_an_interval_of_answers_needs_five_clips(onetoall, results) -> None:
    onetoall("evaluate", "--against", "A/clip0", "B/clip0", "--study", "s.html")
    key = json.loads((results / "s-key.json").read_text())
    said = {"format": "onetoall-study-answers", "study": key["study"], "rater": ""}
    (results / "a.json").write_text(json.dumps({**said, "answers": [{"pair": "1", "choice": "equal"}]}))
    counted = onetoall("evaluate", "--answers", "s-key.json", "a.json", "--json").json
    assert counted["shares"]["equal"] == [1, None, None]
    assert " to " not in onetoall("evaluate", "--answers", "s-key.json", "a.json").out


@pytest.fixture
def inputs(tmp_path, reference, ref_pose):
    """A manifest of two animations and their files."""
    for name in ("one", "two"):
        real_poses("dance_full", 5).save(tmp_path / f"{name}.json")
    rows = [{"reference": str(reference), "driving": f"{name}.json", "seed": 3} for name in ("one", "two")]
    defaults = {"command": "animate", "ref_pose": str(ref_pose), "short_side": 32, "steps": 1}
    (tmp_path / "jobs.yaml").write_text(json.dumps({"defaults": defaults, "jobs": rows}))
    return tmp_path


def test_two_settings_make_the_same_inputs_once_and_are_compared(onetoall, inputs, model, machine, monkeypatch) -> None:
    made = []
    monkeypatch.setattr(
        Result, "save", lambda self, *a, save=Result.save, **k: made.append(self.seed) or save(self, *a, **k)
    )
    command = ("evaluate", "--against", model, f"{model} --seed 8", "--inputs", "jobs.yaml", "--metrics", "psnr")
    first = onetoall(*command, "--json")
    assert first.exit_code == 0, first.err
    assert made == [3, 3, 8, 8]
    assert [clip["name"] for clip in first.json["clips"]] == ["ref-one", "ref-two"]
    assert first.json["metrics"]["psnr"]["mean"] < 60
    folder = inputs / "against-results"
    (side,) = (path for path in folder.iterdir() if path.name.endswith("-seed-8"))
    with_truth = onetoall(*command, "--truth", side, "--json")
    assert made == [3, 3, 8, 8], "nothing is made twice"
    assert with_truth.json["differences"]["psnr"]["b"] == 100
    onetoall(*command[:-2], "--study", "s.html")
    assert len(page_content((inputs / "s.html").read_text())["pairs"]) == 2
    (folder / "journal.jsonl").unlink()
    again = onetoall(*command)
    assert again.exit_code == 2 and "ref-one.mp4" in again.err and "Nothing was done" in again.err


def test_sides_are_drawn_for_each_pair(results) -> None:
    from onetoall_cli.evaluation.pairs.pairing import find_pairs
    from onetoall_cli.evaluation.pairs.study import StudyFiles, write_study

    pair = find_pairs(results / "A" / "clip0" / "000000.png", results / "B" / "clip0" / "000000.png")
    files = StudyFiles.beside(results / "s.html")
    write_study(files, pair * 20, "?", ("A", "B"))
    key = json.loads(files.key.read_text())
    left = [sides["left"] for sides in key["pairs"].values()]
    assert 0 < left.count("a") < 20


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("--against", "A"), "takes A B"),
        (("--against", "A", "B", "T"), "goes behind --truth"),
        (("--against", "A", "B", "--truth", "A/clip0"), "holds no truth named clip0"),
        (("--against", "A", "B", "--study", "s.html", "--metrics", "psnr"), "there is no truth"),
        (("--against", "A", "B", "--study", "s.html", "--markdown", "t.md"), "there is no truth"),
        (("--against", "tiny", "tiny --fast both", "--inputs"), "takes A B and REF DANCE"),
        (("--against", "tiny", "tiny --fasst both", "--inputs", "a.png", "b.mp4"), "no option --fasst"),
        (("--against", "tiny", "tiny --steps", "--inputs", "a.png", "b.mp4"), "--steps has no value"),
        (("--against", "tiny", "tiny", "--inputs", "a.png", "b.mp4"), "'tiny' is given twice"),
        (("--against", "tiny", "tiny --steps 0", "--inputs", "A/clip0/000000.png", "T"), "equal to 1, not 0"),
        (("--pairs", "A", "T", "--study", "s.html"), "--study does not go with --pairs"),
        (("--pairs", "--against", "A", "B"), "do not go together"),
        (("--answers", "A"), "takes the key"),
        (("--answers", "no.json", "no.json"), "no.json cannot be read"),
    ],
)
def test_what_cannot_be_compared_is_refused(onetoall, results, command, words) -> None:
    refused = onetoall("evaluate", *command)
    assert refused.exit_code == 2 and words in refused.err


def test_answers_to_another_study_are_refused(onetoall, results) -> None:
    for name in ("s", "t"):
        onetoall("evaluate", "--against", "A/clip0", "B/clip0", "--study", f"{name}.html")
    other = json.loads((results / "t-key.json").read_text())["study"]
    answers = {"format": "onetoall-study-answers", "study": other, "rater": "", "answers": []}
    (results / "a.json").write_text(json.dumps(answers))
    refused = onetoall("evaluate", "--answers", "s-key.json", "a.json")
    assert refused.exit_code == 2 and "another study" in refused.err
    (results / "a.json").write_text(json.dumps({**answers, "answers": [{"pair": "1", "choice": "both"}]}))
    refused = onetoall("evaluate", "--answers", "s-key.json", "a.json")
    assert refused.exit_code == 2 and "a.json: answers.0.choice" in refused.err
