"""The check of a command's outputs, before any work; where one is standard output, it gets that for itself."""

from collections.abc import Iterable
from pathlib import Path

from onetoall_cli.cli.report import Report, leave_stdout
from onetoall_cli.files import Output, check_outputs, claim_outputs
from onetoall_cli.files.names import folder_of
from onetoall_cli.files.streams import descriptor


def check_targets(outputs: Iterable[Output | None], *, inputs: Iterable[Path | None] = (), overwrite: bool) -> None:
    """`check_outputs` of those that are wanted, which nobody else then makes while this command runs.

    Raises:
        BadInput, OutOfResources: As `check_outputs` and `claim_outputs`.
    """
    wanted = [output for output in outputs if output is not None]
    if any(descriptor(output.path, dash=1) == 1 for output in wanted):
        leave_stdout()
    check_outputs(wanted, inputs=inputs, overwrite=overwrite)
    claim_outputs(wanted, overwrite=overwrite)


def tidied(output: Path, report: Report) -> bool:
    """Whether `output` was finished by a run that was killed before it had tidied up, as is done now."""
    if not (output.is_file() and folder_of(output).is_dir()):
        return False
    from onetoall_cli.animator.kept_segments import sweep_finished

    if not sweep_finished(output):
        return False
    report.note(f"{output} is finished; {folder_of(output).name}, which its run had left, is removed.")
    return True
