"""TensorBoard, for those who like to watch a run there: the figures of `loss.csv` as curves."""

from pathlib import Path

from onetoall_cli.errors import BadInput


class Board:
    """Writes figures for TensorBoard; those of a step that a continued run does again replace the earlier ones."""

    def __init__(self, folder: Path, first_step: int) -> None:
        """Open a board in a folder.

        Raises:
            BadInput: The package is missing.
        """
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            advice = "Run `pip install tensorboard`, or leave the setting out."
            raise BadInput("`tensorboard: true` needs the package tensorboard.", advice) from error
        self._writer = SummaryWriter(folder, purge_step=first_step)

    def add(self, step: int, **figures: float | None) -> None:
        """Add the figures of a step; None is none."""
        for name, value in figures.items():
            if value is not None:
                self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Write what is not written yet."""
        self._writer.close()
