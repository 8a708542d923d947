"""The evaluation from a model's name to its tables, on an untrained model."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from typer.testing import CliRunner
from untrained_model import build_untrained_model

from onetoall_cli.animator import Animator, load
from onetoall_cli.cli import app
from onetoall_cli.errors import BadInput
from onetoall_cli.evaluation.metrics import border_ratio
from onetoall_cli.evaluation.puppets import (
    EvaluationPlan,
    as_markdown,
    as_text,
    evaluate,
    targets,
)
from onetoall_cli.evaluation.puppets.evaluation import BASELINES, COPY, FILLED, Evaluation, Statistic, summed_up
from onetoall_cli.evaluation.puppets.expressions import at_rest, part_of_change
from onetoall_cli.evaluation.puppets.segment_borders import motion_length, random_start
from onetoall_cli.evaluation.table_files import write_markdown
from onetoall_cli.puppets import MOVE_FRAMES, sample_pair
from onetoall_cli.sampling import plan_segments

CPU = torch.device("cpu")
PLAN = EvaluationPlan(count=1, borders=1, expressions=1, width=32, height=48, pool=4)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return build_untrained_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def subject(model):
    return load(model, device="cpu")


@pytest.fixture(scope="module")
def evaluation(subject) -> Evaluation:
    seen = []
    result = evaluate({"untrained": subject}, PLAN, examples=1, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(done, 10) for done in range(1, 11)]
    return result


def test_every_task_has_a_row_for_the_model_and_each_baseline(evaluation) -> None:
    assert list(evaluation.tasks) == ["aligned", "misaligned", "transfer"]
    for table in evaluation.tasks.values():
        assert list(table) == ["untrained", *BASELINES]
        psnr = {name: row["psnr"].mean for name, row in table.items()}
        assert all(np.isfinite(value) for value in psnr.values())
    assert evaluation.borders["untrained"]["without"].mean > 0
    assert len(evaluation.examples) == 3


def test_the_figures_survive_json(evaluation) -> None:
    values = json.loads(json.dumps(evaluation.as_json()))
    assert values["plan"]["count"] == 1
    assert values["tasks"]["aligned"]["untrained"]["own_face"] is None  # the driver's face is the puppet's own
    assert values["sampling"]["untrained"]["num_inference_steps"] == 2


def test_text_fits_eighty_columns_and_markdown_names_its_command(evaluation) -> None:
    text = as_text(evaluation)
    assert max(map(len, text.splitlines())) <= 80
    assert sum(line.startswith(("untrained", *BASELINES)) for line in text.splitlines()) == 18
    markdown = as_markdown(evaluation, "onetoall evaluate untrained")
    assert "`onetoall evaluate untrained`" in markdown
    rows = [line for line in markdown.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in rows} == {11, 7, 5, 4}  # measures, borders, targets, expressions


def test_an_expression_is_whole_in_the_truth_half_in_half_of_it_and_none_in_a_face_at_rest() -> None:
    pair = sample_pair("aligned", "test", 1, width=96, height=144, frames=5)
    resting = at_rest(pair).truth().frames
    true = pair.truth().frames.astype(np.float32) - resting
    parts = [part_of_change((resting + part * true).round().astype(np.uint8), resting, true) for part in (1, 0.5, 0)]
    np.testing.assert_allclose(parts, [1, 0.5, 0], atol=0.01)


def test_targets_are_held_against_the_figures() -> None:
    def table(psnr: float, iou: float, colour: float) -> dict:
        values = {"psnr": psnr, "iou": iou, "shown_colour": colour}
        return {name: Statistic(value, 0.0, 4) for name, value in values.items()}

    tasks = {"misaligned": {"m": table(21.0, 0.79, 10.0), COPY: table(15.5, 0.3, 12.0), FILLED: table(16.5, 0.3, 12.0)}}
    borders = {"m": {"replace": Statistic(1.3, 0.1, 4), "replace_latent": Statistic(1.1, 0.1, 4)}}
    found = targets(Evaluation(PLAN, {"m": {}}, tasks, borders), "m")
    expected = [(5.5, True), (4.5, False), (0.79, False), (10.0, True), (1.3, False), (1.1, True)]
    assert [(each.value, each.met) for each in found] == expected


def test_means_leave_out_what_could_not_be_measured() -> None:
    nan = float("nan")
    figures = summed_up([{"a": 1.0, "b": nan}, {"a": 3.0, "b": nan}, {"a": nan, "b": nan}])
    assert figures["a"] == Statistic(2.0, 1.0, 2)
    assert figures["b"].count == 0
    leaping = summed_up([{"a": 1.0}, {"a": 1.2}, {"a": 9.0}], "median")["a"]
    assert leaping.mean == 1.2 and leaping.error > 1


def test_three_segments_fill_the_motion() -> None:
    for frames in (9, 13, 17):
        assert [segment.length for segment in plan_segments(motion_length(frames), frames)] == [frames] * 3


def test_borders_fall_on_any_part_of_a_move() -> None:
    """The true pictures have no borders, so theirs change as much as anything else does."""
    length, ratios = motion_length(13), []
    for number in range(16):
        frames = length + MOVE_FRAMES
        dance = sample_pair("misaligned", "validation", number, width=64, height=96, frames=frames).target.film()
        first = random_start(len(dance), length, number)
        ratios.append(border_ratio(dance.frames[first : first + length], [13, 21]))
    assert 0.8 < np.median(ratios) < 1.2


def test_without_the_references_pose_another_picture_is_made(subject) -> None:
    from onetoall_cli.evaluation.puppets.cases import make_case

    case = make_case("transfer", "test", 0, width=32, height=48, frames=1, canvas_short_side=120)
    black = replace(case.conditioning, reference_pose=np.zeros_like(case.conditioning.reference_pose))
    defaults = subject.defaults.model_copy(update={"reference_pose": False})
    location = replace(subject.engine.location, defaults=defaults)
    without = Animator(location, subject.engine.settings)
    (given,) = without.animate(case.conditioning, seed=1)
    (wanted,) = subject.animate(black, seed=1)
    np.testing.assert_array_equal(given, wanted)
    assert case.conditioning.reference_pose.any()


def test_markdown_goes_between_the_marks_of_a_card(tmp_path) -> None:
    card = tmp_path / "README.md"
    write_markdown(card, "one\n")
    assert "one" in card.read_text()
    card.write_text("# Card\n\n" + card.read_text() + "\nAfter.\n")
    write_markdown(card, "two \\1\n")
    text = card.read_text()
    assert "one" not in text and "two \\1" in text and text.startswith("# Card") and text.endswith("After.\n")
    card.write_text("# Card\n")
    with pytest.raises(BadInput, match="no place"):
        write_markdown(card, "three")
    assert card.read_text() == "# Card\n"


def test_train_evaluate_prints_the_tables_as_json(model, monkeypatch) -> None:
    monkeypatch.setattr("onetoall_cli.cli.train.PuppetOptions", lambda: _small())
    result = CliRunner().invoke(app, ["train", "--evaluate", str(model), "--json"])
    assert result.exit_code == 0, result.output
    values = json.loads(result.stdout)
    assert set(values["tasks"]) == {"transfer"}
    assert values["targets"][model.name][0]["name"].startswith("transfer: colour")


def _small():
    from onetoall_cli.cli.evaluations.asked import PuppetOptions

    return PuppetOptions(count=1, borders=0, task="transfer", steps=1)


def test_evaluate_writes_card_and_sheet(model, tmp_path) -> None:
    card, sheet, table = tmp_path / "card.md", tmp_path / "sheet.png", tmp_path / "table.csv"
    options = ["--count", "1", "--borders", "0", "--task", "transfer", "--steps", "1", "--examples", "1"]
    written = ["--markdown", str(card), "--sheet", str(sheet), "--csv", str(table)]
    command = ["evaluate", "--benchmark", "puppets", str(model), *options, *written, "--quiet"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert (
        f"onetoall evaluate --benchmark puppets {model} --count 1 --task transfer --borders 0 --steps 1"
        in card.read_text()
    )
    rows = table.read_text().splitlines()
    assert rows[0] == "task,subject,measure,mean,error,count" and rows[1].startswith(f"transfer,{model.name},psnr,")
    from PIL import Image

    assert Image.open(sheet).size[0] >= 5 * 32


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["evaluate", "no-such-model"], "no model or folder"),
        (["evaluate", "x", "--frames", "12"], "4k+1"),
        (["train"], "config is needed"),
        (["train", "a.yaml", "--evaluate", "x"], "takes the place"),
    ],
)
def test_mistakes_are_named_before_any_work(arguments, said) -> None:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert said in result.stderr
