"""The model manager: which models exist, where they are on this machine, and how they are fetched.

Nothing here loads torch, and huggingface_hub is loaded only to fetch. The contents of the files belong to `weights`.
"""

from onetoall_cli.hub.catalogue import Catalogue, Entry, load_catalogue
from onetoall_cli.hub.defaults import GenerationDefaults
from onetoall_cli.hub.detector_files import component_path
from onetoall_cli.hub.location import ModelLocation, locate_model

__all__ = [
    "Catalogue",
    "Entry",
    "GenerationDefaults",
    "ModelLocation",
    "component_path",
    "load_catalogue",
    "locate_model",
]
