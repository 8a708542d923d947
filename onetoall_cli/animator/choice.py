"""Which model to use when the user names none: the best installed one that fits this machine's memory."""

from dataclasses import dataclass

from onetoall_cli.errors import ModelMissing
from onetoall_cli.hub.catalogue import Catalogue, Entry
from onetoall_cli.hub.index import installed
from onetoall_cli.hub.location import shipped_models
from onetoall_cli.hub.quantised_copies import has_copy
from onetoall_cli.precisions import QUANTISED, UNQUANTISED, bytes_per_parameter
from onetoall_cli.runtime.machine import Memory, model_memory

# Beside the network: VAE (0.25 GB in bfloat16), activations of one pass at the released sizes, the libraries.
WORKING_MEMORY = 3 * 10**9


@dataclass(frozen=True)
class Choice:
    """A model and why it was taken.

    Attributes:
        name: For `locate_model`.
        reason: A clause for a one-line note: "the best installed model that fits 24 GB (CPU)".
    """

    name: str
    reason: str


@dataclass(frozen=True)
class _Candidate:
    name: str
    needs: float  # bytes when loaded


def choose_model(catalogue: Catalogue, memory: Memory | None = None) -> Choice:
    """The best installed model whose weights and working memory fit; if none fits, the smallest.

    Args:
        catalogue: Its order is the order of preference; of one model the plain copy comes before int8 before nf4.
        memory: What there is; None looks.

    Raises:
        ModelMissing: No model is installed.
    """
    candidates = _installed_networks(catalogue)
    if not candidates:
        hint = ", or try --model tiny, which needs no download." if "tiny" in shipped_models() else "."
        raise ModelMissing("No model is installed.", f"Run `onetoall fetch {smallest_model(catalogue)}`{hint}")
    if len(candidates) == 1:
        return Choice(candidates[0].name, "the only installed model")
    memory = memory or model_memory()
    available = f"{memory.total / 10**9:.0f} GB ({memory.device})"
    for candidate in candidates:
        if candidate.needs <= memory.total:
            return Choice(candidate.name, f"the best installed model that fits {available}")
    smallest_one = min(candidates, key=lambda candidate: candidate.needs)
    return Choice(smallest_one.name, f"the smallest installed model; none fits {available} without offloading")


def smallest_model(catalogue: Catalogue) -> str:
    """The first of the networks with the fewest parameters: what is advised where nothing is installed."""
    return min(catalogue.models, key=lambda name: catalogue.entries[name].parameters or 10**18)


def _installed_networks(catalogue: Catalogue) -> list[_Candidate]:
    """Installed networks whose shared parts are there too, the best first."""
    known = installed()
    whole = {name for name, entry in known.items() if not entry.missing()}
    candidates = []
    for name in catalogue.models:
        entry = catalogue.entries[name]
        if not _has_needs(entry, catalogue, whole):
            continue
        if name in whole:
            candidates.append(_candidate(name, entry, UNQUANTISED))
        for precision in QUANTISED:
            variant = f"{name}-{precision}"
            if has_copy(name, precision):
                candidates.append(_candidate(variant, entry, precision))
    return candidates


def _has_needs(entry: Entry, catalogue: Catalogue, whole: set[str]) -> bool:
    # the text encoder may be absent: embeddings may be there already
    return all(need in whole for need in entry.needs if catalogue.entries[need].kind != "text-encoder")


def _candidate(name: str, entry: Entry, precision: str) -> _Candidate:
    # an entry of the user's own catalogue need not say how many parameters it has
    parameters = entry.parameters or (entry.size or 0) / 2
    return _Candidate(name, parameters * bytes_per_parameter(precision) + WORKING_MEMORY)
