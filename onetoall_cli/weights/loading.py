"""Loading of networks and VAEs: in diffusers' layout, with released names, or quantised; only from safetensors.

Every tensor must be present, with its shape. A wrong file is an error that names it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from onetoall_cli.errors import BadInput, ModelMissing
from onetoall_cli.hub.location import ModelLocation
from onetoall_cli.hub.model_files import CONFIG, REPAIR_ADVICE, VaeConfig, read_model_file
from onetoall_cli.hub.weight_files import weight_files
from onetoall_cli.model.precision import is_kept_wide
from onetoall_cli.weights.architecture import network_config
from onetoall_cli.weights.network import empty_network
from onetoall_cli.weights.tensors import StoredTensors, read_tensors

if TYPE_CHECKING:
    import torch
    from diffusers import AutoencoderKLWan

    from onetoall_cli.model import OneToAllTransformer3DModel


Module = TypeVar("Module", bound="torch.nn.Module")


def load_network(
    location: ModelLocation, dtype: "torch.dtype", *, quantisation: str = "none"
) -> "OneToAllTransformer3DModel":
    """Load the network of `location` on the CPU.

    Args:
        location: From `locate_model`.
        dtype: Dtype of the weights, except for those that must be float32. Quantised layers compute in it.
        quantisation: "int8" or "nf4" quantises the blocks while they are read, if the files are not quantised yet. A
            copy made by `onetoall fetch --quantize` gives the same network faster.

    Raises:
        ModelMissing: A file is missing, truncated or wrong, or tensors are missing or unexpected.
        BadInput: The files are quantised to another precision.
    """
    from onetoall_cli.model import CheckpointError, OneToAllTransformer3DModel
    from onetoall_cli.weights.quantise import load_quantised, load_quantising, stored_precision

    folder = location.transformer
    read_tensors(weight_files(folder))  # raises for a damaged file before anything is built
    stored = stored_precision(location)
    if stored != "none":
        if quantisation not in ("none", stored):
            raise BadInput(f"{folder} is quantised to {stored} already.", "Load the original, or load it as it is.")
        return load_quantised(folder, dtype)
    if quantisation != "none":
        return load_quantising(folder, network_config(location), dtype, quantisation)
    config = network_config(location)
    if config is not None:
        try:
            return OneToAllTransformer3DModel.from_published(folder, torch_dtype=dtype, **config)
        except CheckpointError as error:
            raise ModelMissing(str(error), REPAIR_ADVICE) from error
    return _load_diffusers(folder, dtype)


def load_vae(folder: Path, dtype: "torch.dtype") -> "AutoencoderKLWan":
    """Load the VAE in a folder of diffusers' layout on the CPU.

    Raises:
        ModelMissing: As `load_network`.
    """
    import torch
    from diffusers import AutoencoderKLWan

    arguments = read_model_file(VaeConfig, folder / CONFIG).arguments()
    with torch.device("meta"):
        vae = AutoencoderKLWan(**arguments)
    return _fill(vae, folder, lambda name: dtype)


def _load_diffusers(folder: Path, dtype: "torch.dtype") -> "OneToAllTransformer3DModel":
    import torch

    return _fill(empty_network(folder, None), folder, lambda name: torch.float32 if is_kept_wide(name) else dtype)


def _fill(module: Module, folder: Path, dtype_of: "Callable[[str], torch.dtype]") -> Module:
    """Load the weights of `folder` into a module on the meta device; each must be present, and no others.

    diffusers' own `from_pretrained` leaves missing tensors random.
    """
    tensors = StoredTensors(folder)
    state = {name: tensors.take(name, value.shape).to(dtype_of(name)) for name, value in module.state_dict().items()}
    tensors.check_all_taken()
    module.load_state_dict(state, assign=True)
    return module.eval()
