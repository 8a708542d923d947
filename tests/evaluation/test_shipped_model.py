"""The model that ships with the package still does what it was trained for: a few held-out puppets, loose limits.

The full figures are in its model card; `onetoall evaluate tiny` prints them.
"""

from dataclasses import replace

import pytest
import torch

from onetoall_cli.evaluation import Plan, evaluate, open_subject
from onetoall_cli.evaluation.protocol import COPY, Evaluation
from onetoall_cli.hub import locate_model
from onetoall_cli.hub.location import SHIPPED
from onetoall_cli.runtime import pick_dtype

TASKS = ("misaligned", "transfer")


def test_it_is_small_and_says_what_it_is() -> None:
    folder = SHIPPED / "tiny"
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) <= 40e6
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "onetoall evaluate tiny" in card and "What it cannot do" in card
    defaults = locate_model("tiny").defaults
    assert defaults.short_side >= 128 and (folder / "training.yaml").is_file()


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    cpu = torch.device("cpu")
    tiny = open_subject("tiny", cpu, pick_dtype("auto", cpu))
    tiny = replace(tiny, sampling=replace(tiny.sampling, num_inference_steps=8))
    return evaluate([tiny], Plan(tasks=TASKS, count=3, joins=0, pool=4))


@pytest.mark.parametrize("task", TASKS)
def test_it_is_nearer_to_the_truth_than_a_copy_of_the_reference(evaluation, task) -> None:
    table = evaluation.tasks[task]
    assert table["tiny"]["psnr"].mean > table[COPY]["psnr"].mean + 1


@pytest.mark.parametrize("task", TASKS)
def test_the_figure_is_where_the_motion_puts_it(evaluation, task) -> None:
    table = evaluation.tasks[task]
    assert table["tiny"]["iou"].mean > max(0.55, table[COPY]["iou"].mean + 0.1)
    assert table["tiny"]["joint_percent"].mean < table[COPY]["joint_percent"].mean - 1


@pytest.mark.parametrize("task", TASKS)
def test_clothes_and_hair_keep_the_references_colours(evaluation, task) -> None:
    assert evaluation.tasks[task]["tiny"]["shown_colour"].mean < 15
