"""The report of a new GPU, tried on the CPU: every part gives figures, and one that fails stops no other."""

import json
import subprocess
from pathlib import Path

import pytest

from onetoall_cli.bench import gpu_report


def rows_of(part: str):
    return [row for row in gpu_report.rows("cpu", small=True) if row["part"] == part]


@pytest.mark.parametrize("part", ["machine", "goldens", "precisions", "memory plan", "training"])
def test_every_part_gives_figures(part, monkeypatch):
    monkeypatch.setattr(gpu_report, "TESTS", Path(__file__).parents[1])  # the package may be installed elsewhere
    values = gpu_report.PARTS[part](**rows_of(part)[0]["arguments"])
    assert values
    # on a CPU the rest of this process counts in measured peaks; each row is a process of its own in a report
    counted = {name: value for name, value in values.items() if not name.endswith("measured")}
    assert all(value is None or isinstance(value, str) or value >= 0 for value in counted.values())
    if part == "goldens":
        assert max(values.values()) < 2e-4
    if part == "precisions":
        assert 0.001 < values["error"] < 0.05 and values["TFLOP/s"] > 0


def test_the_rows_name_every_kernel_precision_and_way_of_offloading():
    names = {row["name"] for row in gpu_report.rows("cuda", small=False)}
    assert {*gpu_report.KERNELS, "compiled", "bfloat16, int8", "bfloat16, blocks"} <= names
    assert {"1.3b step", "14b plain step", "1.3b LoRA", "1.3b full"} <= names


def test_a_row_that_fails_is_recorded_and_the_others_are_measured(tmp_path, monkeypatch):
    rows = [*rows_of("machine"), *rows_of("steps")]
    monkeypatch.setattr(gpu_report, "rows", lambda *_, **__: rows)
    monkeypatch.setattr(gpu_report.subprocess, "run", answered)
    gpu_report.report(tmp_path, "cpu", small=True)
    _, ours, plain = json.loads((tmp_path / "gpu.json").read_text())
    assert ours["values"]["share of matrix products"] == 0.25
    assert plain["error"] == "RuntimeError: no room" and "values" not in plain
    table = (tmp_path / "gpu.md").read_text()
    assert "## Steps" in table and "| tiny plain step |  |  |  | RuntimeError: no room |" in table


def answered(command, **_):
    """The process of a row."""
    name = json.loads(command[-1])["name"]
    if name == "tiny plain step":
        return subprocess.CompletedProcess(command, 1, "", "Traceback\nRuntimeError: no room\n")
    values = {"TFLOP/s": 4.0} if name == "matrix products" else {"TFLOP/s": 1.0, "seconds": 2.0}
    return subprocess.CompletedProcess(command, 0, json.dumps(values), "")
