"""Evaluation: results against the truth with the metrics of the field, and models on benchmarks and held-out puppets.

Begin with `pairs.evaluation.evaluate_pairs` for videos and pictures, `puppets.evaluation.evaluate` for puppets.
"""
