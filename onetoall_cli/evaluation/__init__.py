"""Evaluation of models on held-out puppets, whose true pictures are known, beside baselines and a ceiling.

Begin with `puppet_evaluation.evaluate`; `scores` lists the measures and `metrics` defines them.
"""

from onetoall_cli.evaluation.puppet_evaluation import Evaluation, EvaluationPlan, evaluate
from onetoall_cli.evaluation.tables import as_markdown, as_text, targets, write_examples, write_markdown

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
