"""The table of precisions that a network's weights can be quantised to, and what they take in memory and on disk."""

from dataclasses import dataclass

UNQUANTISED = "none"
UNQUANTISED_BYTES = 2.0  # of a bfloat16 weight

# The part of a released network's parameters that lies in quantised layers: 0.961 of the 1.3B, 0.965 of the 14B.
QUANTISED_SHARE = 0.96


@dataclass(frozen=True)
class Precision:
    """How bitsandbytes stores a linear layer.

    Attributes:
        name: As in `--quantize` and in the names of quantised copies (`14b-nf4`).
        weight_bytes: Of one weight.
        row_bytes: Of what is stored beside each output row.
    """

    name: str
    weight_bytes: float
    row_bytes: int = 0

    @property
    def bytes_per_parameter(self) -> float:
        """Bytes a parameter takes, in memory as on disk, over a whole network of a released shape."""
        return QUANTISED_SHARE * self.weight_bytes + (1 - QUANTISED_SHARE) * UNQUANTISED_BYTES


# From the largest to the smallest.
QUANTISED = {
    precision.name: precision
    for precision in (
        Precision("int8", 1.0, row_bytes=4),  # a float32 scale a row
        Precision("nf4", 0.5 + 1 / 64 + 4 / (64 * 256)),  # one byte per 64 values, and 4 per 256 of those
    )
}


def bytes_per_parameter(precision: str) -> float:
    """Bytes a parameter takes over a whole network: of "none" as bfloat16."""
    return UNQUANTISED_BYTES if precision == UNQUANTISED else QUANTISED[precision].bytes_per_parameter
