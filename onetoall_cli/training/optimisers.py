"""What moves the weights: AdamW as in the released recipe, or Muon for the matrices inside the blocks.

Muon orthogonalises the update of a matrix (K. Jordan et al., 2024); its steps are scaled to the size of AdamW's
(Moonlight, arXiv 2502.16982), so that both take the same learning rate. A step costs more and gets further, which pays
where steps are few.
"""

import torch
from torch import nn
from torch.optim import AdamW, Muon, Optimizer

from onetoall_cli.errors import BadInput
from onetoall_cli.training.recipe import TrainingSettings

_LEAST_SIDE = 32  # below that a matrix is more a table than a map


def build_optimisers(network: nn.Module, settings: TrainingSettings) -> list[Optimizer]:
    """The optimisers of all parameters that require gradients, each parameter in one of them.

    Raises:
        BadInput: Muon is asked for and there is no matrix to train with it.
    """
    named = {name: value for name, value in network.named_parameters() if value.requires_grad}
    decay = settings.weight_decay
    optimisers: list[Optimizer] = []
    if settings.optimiser == "muon":
        matrices = [named.pop(name) for name, value in list(named.items()) if _is_map(name, value)]
        if not matrices:
            raise BadInput("Nothing that is trained is a matrix inside a block.", "Set optimiser: adamw.")
        optimisers.append(Muon(matrices, lr=settings.lr, weight_decay=decay, adjust_lr_fn="match_rms_adamw"))
    if named:
        optimisers.append(AdamW(list(named.values()), lr=settings.lr, betas=settings.betas, weight_decay=decay))
    return optimisers


def _is_map(name: str, value: torch.Tensor) -> bool:
    """Whether a parameter maps one feature space of a block to another: embeddings, tables and convolutions do not."""
    return "blocks." in name and value.ndim == 2 and min(value.shape) >= _LEAST_SIDE
