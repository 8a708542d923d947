"""The model manager: which models exist, where they are on this machine, and how they get there.

Light to import: torch and huggingface_hub load when something is loaded or fetched.
"""

from onetoall_cli.hub.catalogue import Catalogue, Entry, load_catalogue
from onetoall_cli.hub.choice import Choice, choose_model
from onetoall_cli.hub.components import component_path
from onetoall_cli.hub.defaults import GenerationDefaults
from onetoall_cli.hub.embeddings import PromptStore
from onetoall_cli.hub.ensure import ensure_model
from onetoall_cli.hub.loading import load_network, load_vae
from onetoall_cli.hub.location import ModelLocation, locate_model
from onetoall_cli.hub.quantise import stored_precision
from onetoall_cli.hub.text import prompt_embeddings, prompt_rows

__all__ = [
    "Catalogue",
    "Choice",
    "Entry",
    "GenerationDefaults",
    "ModelLocation",
    "PromptStore",
    "choose_model",
    "component_path",
    "ensure_model",
    "load_catalogue",
    "load_network",
    "load_vae",
    "locate_model",
    "prompt_embeddings",
    "prompt_rows",
    "stored_precision",
]
