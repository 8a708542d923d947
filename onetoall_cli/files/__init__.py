"""Files out, whole or not at all and never in place of what is not ours; files in, from pipes too."""

from onetoall_cli.files.claims import claims
from onetoall_cli.files.contents import Kind
from onetoall_cli.files.outputs import Output, check_outputs, claim_outputs, default_name
from onetoall_cli.files.whole import together, whole_file, whole_folder

__all__ = [
    "Kind",
    "Output",
    "check_outputs",
    "claim_outputs",
    "claims",
    "default_name",
    "together",
    "whole_file",
    "whole_folder",
]
