"""`onetoall doctor`: does everything work here, and what to do where it does not."""

from __future__ import annotations

from dataclasses import asdict

from onetoall_cli.cli.options import subcommand
from onetoall_cli.cli.report import Report

MARKS = {"good": "ok  ", "note": "note", "problem": "BAD "}


@subcommand
def doctor(report: Report) -> None:
    """Check this machine, with a line of advice for each problem.

    Looked at: Python, torch, GPU, memory, video libraries, detectors, models, cache and disk.

    Nothing is changed, and nothing is fetched.

    Example: onetoall doctor
    """
    from onetoall_cli.doctor import diagnose

    findings = list(diagnose())
    lines = []
    for finding in findings:
        lines.append(f"{MARKS[finding.state]}  {finding.subject:<18} {finding.detail}")
        if finding.advice:
            lines.append(f"      {'':<18} -> {finding.advice}")
    problems = sum(finding.state == "problem" for finding in findings)
    lines.append("All is well." if not problems else f"{problems} problem(s).")
    report.result("\n".join(lines), findings=[asdict(finding) for finding in findings], problems=problems)
