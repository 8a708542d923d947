"""A network from its place on disk into memory, strictly: plain, published or quantised, and only safetensors.

A wrong file is an error that names it, never a network with some weights left random.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from onetoall_cli.errors import BadInput, ModelMissing
from onetoall_cli.hub.location import ModelLocation
from onetoall_cli.hub.weight_files import REPAIR_ADVICE, weight_files
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
        dtype: Of the weights; what must be float32 stays so, and quantised layers compute in it.
        quantisation: "int8" or "nf4" quantises the blocks while they are read, unless the files are quantised so
            already; a copy made by `onetoall fetch --quantize` gives the same, sooner.

    Raises:
        ModelMissing: A file is missing, truncated or foreign, or tensors are missing or left over.
        BadInput: The files are quantised otherwise.
    """
    from onetoall_cli.model import CheckpointError, OneToAllTransformer3DModel
    from onetoall_cli.weights.quantise import load_quantised, load_quantising, stored_precision

    folder = location.transformer
    read_tensors(weight_files(folder))  # names a damaged file before anything is built
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

    try:
        with torch.device("meta"):
            vae = AutoencoderKLWan.from_config(AutoencoderKLWan.load_config(folder))
    except (OSError, ValueError, TypeError) as error:
        problem = str(error).strip().splitlines()[0]
        raise ModelMissing(f"{folder / 'config.json'} cannot be used: {problem}", REPAIR_ADVICE) from error
    return _fill(vae, folder, lambda name: dtype)


def _load_diffusers(folder: Path, dtype: "torch.dtype") -> "OneToAllTransformer3DModel":
    import torch

    return _fill(empty_network(folder, None), folder, lambda name: torch.float32 if is_kept_wide(name) else dtype)


def _fill(module: Module, folder: Path, dtype_of: "Callable[[str], torch.dtype]") -> Module:
    """Give a module on the meta device the weights in `folder`, all of them and no others.

    diffusers' own `from_pretrained` leaves a tensor that is not in the files random.
    """
    tensors = StoredTensors(folder)
    state = {name: tensors.take(name, value.shape).to(dtype_of(name)) for name, value in module.state_dict().items()}
    tensors.check_all_taken()
    module.load_state_dict(state, assign=True)
    return module.eval()
