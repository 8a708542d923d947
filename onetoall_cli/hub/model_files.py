"""The small JSON files of a model's folder, as forms: what they may hold, whoever wrote them.

A file that cannot be used makes the model incomplete: `ModelMissing`, as for its weights.
"""

from pathlib import Path
from typing import Any, TypeVar

from pydantic import Field, model_validator

from onetoall_cli.errors import BadInput, ModelMissing
from onetoall_cli.files.forms import ForeignForm, read_form

NETWORK_CLASS = "OneToAllTransformer3DModel"
CONFIG = "config.json"
REPAIR_ADVICE = "Run `onetoall fetch --verify --repair`, or fetch the model again."

T = TypeVar("T")


class WeightIndex(ForeignForm):
    """A `*.safetensors.index.json`.

    Attributes:
        weight_map: The file of each tensor, in the index's own folder.
    """

    weight_map: dict[str, str] = Field(min_length=1)


class AnyConfig(ForeignForm):
    """The `config.json` of any part of a model.

    Attributes:
        class_name: diffusers' class.
    """

    class_name: str | None = Field(None, alias="_class_name", max_length=200)


class PipelineIndex(ForeignForm):
    """A pipeline's `model_index.json`.

    Attributes:
        transformer: Library and class of its network.
    """

    transformer: tuple[str, str]


class BitsAndBytes(ForeignForm):
    """What a quantised network's configuration says of its precision."""

    load_in_8bit: bool = False
    load_in_4bit: bool = False


class NetworkConfig(AnyConfig):
    """The `config.json` of a network: arguments of `OneToAllTransformer3DModel`, which documents them.

    The limits lie beyond twice the 14B: a hostile file must not cost memory before its weights are looked at.
    """

    patch_size: tuple[int, int, int] = (1, 2, 2)
    num_attention_heads: int = Field(12, gt=0, le=256)
    attention_head_dim: int = Field(128, gt=0, le=512)
    in_channels: int = Field(16, gt=0, le=256)
    out_channels: int = Field(16, gt=0, le=256)
    text_dim: int = Field(4096, gt=0, le=16384)
    freq_dim: int = Field(256, gt=0, le=4096)
    ffn_dim: int = Field(8960, gt=0, le=65536)
    num_layers: int = Field(30, gt=0, le=128)
    num_reference_layers: int = Field(14, gt=0, le=128)
    num_pose_layers: int = Field(2, ge=0, le=128)
    eps: float = Field(1e-6, gt=0, le=1)
    pose_channels: int = Field(16, gt=0, le=1024)
    prefix_channels: int = Field(16, gt=0, le=1024)
    quantization_config: BitsAndBytes | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> "NetworkConfig":
        if self.patch_size[0] != 1 or not all(1 <= side <= 16 for side in self.patch_size):
            raise ValueError("should have a patch_size of one frame and 1 to 16 pixels")
        if self.num_pose_layers >= self.num_layers:
            raise ValueError("should have fewer pose layers than denoiser layers")
        if self.attention_head_dim % 2 or self.freq_dim % 2:
            raise ValueError("should have even attention_head_dim and freq_dim")
        return self

    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return self.model_dump(exclude={"class_name", "quantization_config"})


def read_model_file(kind: type[T], path: Path) -> T:
    """A JSON file of a model's folder.

    Raises:
        ModelMissing: It is missing, damaged, or of another kind.
    """
    if not path.is_file():
        raise ModelMissing(f"{path} is missing.", "The model's folder is incomplete: fetch or copy it again.")
    try:
        return read_form(kind, path, advice=REPAIR_ADVICE)
    except BadInput as error:
        raise ModelMissing(error.problem, REPAIR_ADVICE) from error
