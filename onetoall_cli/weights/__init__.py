"""The contents of a model's files: tensors, quantised copies, prompt embeddings and their text encoder."""

from onetoall_cli.weights.architecture import network_config
from onetoall_cli.weights.loading import load_network, load_vae
from onetoall_cli.weights.prompt_store import PromptStore
from onetoall_cli.weights.quantise import stored_precision
from onetoall_cli.weights.text_encoder import prompt_embeddings, prompt_rows

__all__ = [
    "PromptStore",
    "load_network",
    "load_vae",
    "network_config",
    "prompt_embeddings",
    "prompt_rows",
    "stored_precision",
]
