"""Many runs as one: what is to be made, a journal that survives whatever ends it, and a page that shows what came.

A batch is a list of `Task`s. Who calls makes them, of folders or of the rows of a manifest, and checks them all before
the first is made.
"""

from typing import TYPE_CHECKING

from onetoall_cli.lazy_names import lazy_names

if TYPE_CHECKING:
    from onetoall_cli.batch.checking import faults_of
    from onetoall_cli.batch.journal import Journal
    from onetoall_cli.batch.manifest import Row, rows_of_folders, rows_of_manifest
    from onetoall_cli.batch.running import Batch
    from onetoall_cli.batch.tasks import Task

__all__ = ["Batch", "Journal", "Row", "Task", "faults_of", "rows_of_folders", "rows_of_manifest"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Batch": "batch.running",
        "Journal": "batch.journal",
        "Row": "batch.manifest",
        "Task": "batch.tasks",
        "faults_of": "batch.checking",
        "rows_of_folders": "batch.manifest",
        "rows_of_manifest": "batch.manifest",
    },
)
