"""The weights that stay float32, and the linear layers that may be quantised."""

from torch import nn

from onetoall_cli.model.transformer import OneToAllTransformer3DModel

# Path elements under which linear layers are quantised. Norms, embeddings, modulation tables and the zero-initialised
# projections keep their precision: they are small, but errors in them matter.
QUANTISED_PARTS = ("blocks", "text_keys")


def is_kept_wide(name: str) -> bool:
    """Whether the tensor of that name always stays float32."""
    return any(part in OneToAllTransformer3DModel._keep_in_fp32_modules for part in name.split("."))


def quantisable_linears(network: nn.Module) -> set[str]:
    """Names of the linear layers that a quantised network quantises."""
    return {
        name
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear) and set(QUANTISED_PARTS) & set(name.split("."))
    }
