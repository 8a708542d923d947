"""The model manager: which models exist, where they are on this machine, and how they get there.

Torch is never loaded here, huggingface_hub only when something is fetched: what is in the files is for `weights`.
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
