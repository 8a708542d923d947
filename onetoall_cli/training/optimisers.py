"""Optimisers: AdamW as in the released recipe, or Muon for the matrices inside the blocks.

Muon orthogonalises the update of a matrix (K. Jordan et al., 2024). Its updates are scaled to the size of AdamW's
(Moonlight, arXiv 2502.16982), so that both take the same learning rate. A Muon step costs more but achieves more, which
helps where steps are few.
"""

import torch
from torch import nn
from torch.optim import AdamW, Muon, Optimizer

from onetoall_cli.errors import BadInput
from onetoall_cli.training.recipe import TrainingSettings

_LEAST_SIDE = 32  # smaller matrices are tables, such as modulation rows, and stay with AdamW


def build_optimisers(network: nn.Module, settings: TrainingSettings) -> list[Optimizer]:
    """The optimisers of all parameters that require gradients, each parameter in one of them.

    Raises:
        BadInput: Muon is chosen and no matrix inside a block is trained.
    """
    named = {name: value for name, value in network.named_parameters() if value.requires_grad}
    decay = settings.weight_decay
    optimisers: list[Optimizer] = []
    if settings.optimiser == "muon":
        matrices = [named.pop(name) for name, value in list(named.items()) if _is_block_matrix(name, value)]
        if not matrices:
            raise BadInput("Muon has no matrix inside a block to train.", "Set optimiser: adamw.")
        optimisers.append(Muon(matrices, lr=settings.lr, weight_decay=decay, adjust_lr_fn="match_rms_adamw"))
    if named:
        optimisers.append(AdamW(list(named.values()), lr=settings.lr, betas=settings.betas, weight_decay=decay))
    return optimisers


def _is_block_matrix(name: str, value: torch.Tensor) -> bool:
    """Whether a parameter is a matrix of a block's linear layer, not an embedding, a table or a convolution."""
    return "blocks." in name and value.ndim == 2 and min(value.shape) >= _LEAST_SIDE
