"""Evaluation: results against the truth with the metrics of the field, and models on held-out puppets.

Begin with `pair_evaluation.evaluate_pairs` for videos and pictures, `puppet_evaluation.evaluate` for puppets.
"""

from typing import TYPE_CHECKING

from onetoall_cli.lazy_names import lazy_names

if TYPE_CHECKING:
    from onetoall_cli.evaluation.marks import write_markdown
    from onetoall_cli.evaluation.puppet_evaluation import Evaluation, EvaluationPlan, evaluate
    from onetoall_cli.evaluation.tables import as_markdown, as_text, targets, write_examples

__all__ = [
    "Evaluation",
    "EvaluationPlan",
    "as_markdown",
    "as_text",
    "evaluate",
    "targets",
    "write_examples",
    "write_markdown",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Evaluation": "evaluation.puppet_evaluation",
        "EvaluationPlan": "evaluation.puppet_evaluation",
        "as_markdown": "evaluation.tables",
        "as_text": "evaluation.tables",
        "evaluate": "evaluation.puppet_evaluation",
        "targets": "evaluation.tables",
        "write_examples": "evaluation.tables",
        "write_markdown": "evaluation.marks",
    },
)
