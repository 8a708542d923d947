"""The table of precisions for a network's linear layers, with their sizes in memory and on disk."""

from dataclasses import dataclass

UNQUANTISED = "none"
UNQUANTISED_BYTES = 2.0  # bytes of a bfloat16 weight

# The share of a released network's parameters in quantised layers: 0.961 of the 1.3B, 0.965 of the 14B.
QUANTISED_SHARE = 0.96


@dataclass(frozen=True)
class Precision:
    """How a linear layer is stored.

    Attributes:
        name: The name in `--quantize` and in the names of quantised copies (`14b-nf4`).
        weight_bytes: Bytes of a weight.
        row_bytes: Bytes stored in addition for each output row.
    """

    name: str
    weight_bytes: float
    row_bytes: int = 0

    @property
    def bytes_per_parameter(self) -> float:
        """Mean bytes of a parameter, in memory and on disk, in a network of a released shape."""
        return QUANTISED_SHARE * self.weight_bytes + (1 - QUANTISED_SHARE) * UNQUANTISED_BYTES


# Float8 (e4m3), widened layer by layer to compute; made while a model is loaded.
CAST = {"fp8": Precision("fp8", 1.0)}

# As bitsandbytes stores and computes them, from the largest to the smallest; also as copies on disk.
QUANTISED = {
    precision.name: precision
    for precision in (
        Precision("int8", 1.0, row_bytes=4),  # a float32 scale a row
        Precision("nf4", 0.5 + 1 / 64 + 4 / (64 * 256)),  # one byte per 64 values, and 4 per 256 of those
    )
}

# All, in the order of preference: bitsandbytes' int8 is half as fast as bfloat16 where it was measured publicly.
REDUCED = {**CAST, **QUANTISED}


def bytes_per_parameter(precision: str) -> float:
    """Mean bytes of a parameter in a whole network; "none" is bfloat16."""
    return UNQUANTISED_BYTES if precision == UNQUANTISED else QUANTISED[precision].bytes_per_parameter
