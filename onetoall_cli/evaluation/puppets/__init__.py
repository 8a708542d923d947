"""Models on held-out puppets, whose every true picture is known."""

from typing import TYPE_CHECKING

from onetoall_cli.lazy_names import lazy_names

if TYPE_CHECKING:
    from onetoall_cli.evaluation.puppets.evaluation import Evaluation, EvaluationPlan, evaluate
    from onetoall_cli.evaluation.puppets.tables import as_markdown, as_text, measure_rows, targets, write_examples

__all__ = [
    "Evaluation",
    "EvaluationPlan",
    "as_markdown",
    "as_text",
    "evaluate",
    "measure_rows",
    "targets",
    "write_examples",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Evaluation": "evaluation.puppets.evaluation",
        "EvaluationPlan": "evaluation.puppets.evaluation",
        "as_markdown": "evaluation.puppets.tables",
        "as_text": "evaluation.puppets.tables",
        "evaluate": "evaluation.puppets.evaluation",
        "measure_rows": "evaluation.puppets.tables",
        "targets": "evaluation.puppets.tables",
        "write_examples": "evaluation.puppets.tables",
    },
)
