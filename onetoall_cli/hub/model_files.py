"""The small JSON files of a model's folder, as forms: what they may hold, whoever wrote them.

A file that cannot be used makes the model incomplete: `ModelMissing`, as for its weights.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, model_validator

from onetoall_cli.errors import BadInput, ModelMissing
from onetoall_cli.files.forms import ForeignForm, read_form

NETWORK_CLASS = "OneToAllTransformer3DModel"
CONFIG = "config.json"
RELEASED_CHANNELS = 16  # of Wan2.1's VAE, for which diffusers knows mean and spread
REPAIR_ADVICE = "Run `onetoall fetch --verify --repair`, or fetch the model again."

T = TypeVar("T")


class AnyConfig(ForeignForm):
    """The `config.json` of any part of a model.

    Attributes:
        class_name: The class, as diffusers writes it.
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


class VaeConfig(AnyConfig):
    """The `config.json` of a VAE: arguments of diffusers' `AutoencoderKLWan`, whose defaults hold for what it lacks.

    Frames and pixels go into latents by 4 and 8, as the whole package reckons.
    """

    class_name: Literal["AutoencoderKLWan"] | None = Field(None, alias="_class_name")
    base_dim: int = Field(96, gt=0, le=1024)
    decoder_base_dim: int | None = Field(None, gt=0, le=1024)
    z_dim: int = Field(16, gt=0, le=256)
    dim_mult: tuple[Annotated[int, Field(gt=0, le=16)], ...] = Field((1, 2, 4, 4), min_length=2, max_length=6)
    num_res_blocks: int = Field(2, ge=0, le=16)
    attn_scales: tuple[float, ...] = Field((), max_length=8)
    temperal_downsample: tuple[bool, ...] = Field((False, True, True), max_length=6)
    dropout: float = Field(0.0, ge=0, lt=1)
    latents_mean: tuple[Annotated[float, Field(ge=-1e4, le=1e4)], ...] = Field(())
    latents_std: tuple[Annotated[float, Field(gt=0, le=1e4)], ...] = Field(())
    is_residual: bool = False
    in_channels: int = Field(3, gt=0, le=256)
    out_channels: int = Field(3, gt=0, le=256)
    patch_size: int | None = Field(None, gt=0, le=8)
    scale_factor_temporal: Literal[4] = 4
    scale_factor_spatial: Literal[8] = 8

    @model_validator(mode="after")
    def _fits_together(self) -> "VaeConfig":
        for name in ("latents_mean", "latents_std"):
            given = len(getattr(self, name)) if name in self.model_fields_set else RELEASED_CHANNELS
            if given != self.z_dim:
                raise ValueError(f"should have as many {name} as z_dim, {self.z_dim}")
        if len(self.temperal_downsample) != len(self.dim_mult) - 1:
            raise ValueError("should have one temperal_downsample less than dim_mult")
        halvings = len(self.dim_mult) - 1
        if 2**halvings * (self.patch_size or 1) != 8 or sum(self.temperal_downsample) != 2:
            raise ValueError("should make 8 x 8 pixels of 4 frames into one latent")
        channels = 3 * (self.patch_size or 1) ** 2
        if (self.in_channels, self.out_channels) != (channels, channels):
            raise ValueError(f"should have {channels} in_channels and out_channels")
        return self

    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return self.model_dump(mode="json", exclude_unset=True, exclude={"class_name"})


def read_model_file(kind: type[T], path: Path) -> T:
    """A JSON file of a model's folder.

    Raises:
        ModelMissing: It is missing, damaged, or of another kind.
    """
    if not path.is_file():
        raise ModelMissing(f"{path} is missing.", "The model's folder is incomplete: fetch or copy it again.")
    with damaged_model():
        return read_form(kind, path, advice=REPAIR_ADVICE)


@contextmanager
def damaged_model() -> Iterator[None]:
    """What a file of a model cannot be used for makes the model incomplete."""
    try:
        yield
    except BadInput as error:
        raise ModelMissing(error.problem, error.advice) from error
