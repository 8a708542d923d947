"""The catalogue of models: their repositories and what each of them needs, as data (`catalogue.yaml`).

The user's own `catalogue.yaml` in the configuration folder adds entries to the package's or replaces them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from onetoall_cli.display_text import displayed, displayed_names
from onetoall_cli.errors import BadInput
from onetoall_cli.files.forms import Form, read_form
from onetoall_cli.hub.defaults import GenerationDefaults
from onetoall_cli.hub.places import REPOSITORY, is_repository, user_catalogue
from onetoall_cli.precisions import QUANTISED

HUB_PREFIX = "hf:"
ADVICE = "Correct it; the head of the package's hub/catalogue.yaml explains the form."

# The files that are fetched of a repository named by `hf:`, never pickled weights.
ANY_MODEL_FILES = (
    "model_index.json",
    "generation_config.json",
    "*.safetensors",
    "*.safetensors.index.json",
    "transformer/*.json",
    "transformer/*.safetensors",
    "vae/*.json",
    "vae/*.safetensors",
    "scheduler/*.json",
    "text_encoder/*.json",
    "text_encoder/*.safetensors",
    "tokenizer/*.json",
    "tokenizer/*.model",
)


class DistilledSampling(Form):
    """The sampling that a step-distilled network was made for.

    Attributes:
        steps: Number of steps.
        shift: Of the solver's times.
    """

    steps: int = Field(ge=1, le=1000)
    shift: float = Field(gt=0, le=1000)


class Description(Form):
    """What a `catalogue.yaml` says of one entry.

    Attributes:
        kind: What it is.
        title: A description of a few words.
        repository: `OWNER/REPO` on the hub, or `datasets/OWNER/REPO`.
        revision: The pinned commit, or a branch whose commit is recorded when it is fetched.
        files: Patterns of the files to fetch; `*` does not match a slash.
        size: Bytes to download as known beforehand; the hub gives the exact size before a download.
        size_is: `exact`, `derived` (computed from the tensors and dtype) or `estimate`.
        licence: The licence as its authors state it.
        needs: Names of the entries that it does not work without.
        parameters: Number of parameters of a network or encoder, for the memory estimate.
        architecture: Constructor arguments of a network whose repository holds only weights.
        defaults: Generation defaults of a network.
        fits: Names of the models that a step-distillation LoRA is for.
        sampling: What such a LoRA was made for.
    """

    kind: Literal["model", "vae", "text-encoder", "detector", "metric", "benchmark", "lora"]
    title: str = Field(max_length=200)
    repository: str = Field(pattern=REPOSITORY, max_length=200)
    files: tuple[str, ...] = Field(min_length=1)
    revision: str = Field("main", min_length=1, max_length=200)
    size: int | None = Field(None, ge=0, le=10**15)
    size_is: Literal["exact", "derived", "estimate"] = "estimate"
    licence: str = Field("see the repository", max_length=200)
    needs: tuple[str, ...] = ()
    parameters: int | None = Field(None, ge=0, le=10**15)
    architecture: dict[str, bool | int | float | str | tuple[int, ...]] | None = None
    defaults: GenerationDefaults | None = None
    fits: tuple[str, ...] = ()
    sampling: DistilledSampling | None = None


class Entry(Description):
    """Something that can be fetched: a model, a VAE, a text encoder, a detector, the network of a metric, a benchmark's
    set of clips or a LoRA.

    Attributes:
        name: Its name in `onetoall fetch NAME`.
    """

    name: str


class CatalogueFile(Form):
    """A `catalogue.yaml`.

    Attributes:
        entries: Descriptions by name.
        groups: Names of entries by the name that stands for all of them.
    """

    entries: dict[str, Description] = Field(default_factory=dict)
    groups: dict[str, tuple[str, ...]] = Field(default_factory=dict)


@dataclass(frozen=True)
class Catalogue:
    """All entries in order of preference, and groups of them."""

    entries: dict[str, Entry]
    groups: dict[str, tuple[str, ...]]

    @property
    def models(self) -> list[str]:
        """Names of the networks, the best first."""
        return [name for name, entry in self.entries.items() if entry.kind == "model"]

    @property
    def shared_parts(self) -> tuple[str, ...]:
        """The entries that released weights need: a VAE and a text encoder."""
        return tuple(name for name, entry in self.entries.items() if entry.kind in ("vae", "text-encoder"))

    def knows(self, name: str) -> bool:
        """Whether `name` is an entry, a quantised copy of one, or a hub repository."""
        return name in self.entries or name.startswith(HUB_PREFIX) or self._split_variant(name) is not None

    def entry(self, name: str) -> Entry:
        """The entry of that name; `hf:OWNER/REPO[@REVISION]` makes a new one.

        Raises:
            BadInput: There is no such entry.
        """
        if name in self.entries:
            return self.entries[name]
        if name.startswith(HUB_PREFIX):
            return self._hub_entry(name)
        raise BadInput(
            f"There is no model '{name}' in the catalogue.",
            f"Known: {displayed_names([*self.entries, *self.groups], 20)}; or hf:OWNER/REPO.",
        )

    def network(self, name: str) -> tuple[Entry, str | None]:
        """The entry of a network, and the precision of a quantised copy (`14b-nf4`); None if it is not quantised.

        Raises:
            BadInput: There is no such entry, or it is not a network.
        """
        base, precision = self._split_variant(name) or (name, None)
        entry = self.entry(base)
        if entry.kind != "model":
            raise BadInput(f"'{name}' is a {entry.kind}, not a model.", f"Models: {displayed_names(self.models, 20)}.")
        return entry, precision

    def distillation_of(self, model: str) -> Entry | None:
        """The step-distillation LoRA for a model, a quantised copy of which may be meant; None: none is known."""
        base = (self._split_variant(model) or (model, None))[0]
        return next((entry for entry in self.entries.values() if base in entry.fits), None)

    def _split_variant(self, name: str) -> tuple[str, str] | None:
        base, _, precision = name.rpartition("-")
        if name not in self.entries and precision in QUANTISED and base in self.entries:
            return base, precision
        return None

    def _hub_entry(self, name: str) -> Entry:
        repository, _, revision = name.removeprefix(HUB_PREFIX).partition("@")
        if not is_repository(repository):
            raise BadInput(f"'{name}' does not name a repository.", "Write hf:OWNER/REPO or hf:OWNER/REPO@REVISION.")
        return Entry(
            name=f"{HUB_PREFIX}{repository}",
            kind="model",
            title="named by its repository",
            repository=repository,
            files=ANY_MODEL_FILES,
            revision=revision or "main",
            needs=self.shared_parts,
        )

    def expand(self, names: Iterable[str]) -> list[Entry]:
        """The entries of `names` (entries, groups, `hf:OWNER/REPO`), each once."""
        members = (member for name in names for member in self.groups.get(name, (name,)))
        return list({entry.name: entry for entry in map(self.entry, members)}.values())

    def needed_by(self, name: str) -> list[str]:
        """Names of the entries that do not work without `name`."""
        return [entry.name for entry in self.entries.values() if name in entry.needs]


def load_catalogue() -> Catalogue:
    """The package's catalogue, with the user's entries added.

    Raises:
        BadInput: The user's file has a mistake; the message names file, entry and field.
    """
    catalogue = _with_file(Catalogue({}, {}), Path(__file__).with_name("catalogue.yaml"))
    own = user_catalogue()
    return _with_file(catalogue, own) if own.exists() else catalogue


def _with_file(base: Catalogue, path: Path) -> Catalogue:
    """A catalogue with the entries and groups of a file, which replace those of the same name."""
    file = read_form(CatalogueFile, path, advice=ADVICE)
    described = {name: Entry(name=name, **dict(description)) for name, description in file.entries.items()}
    joined = Catalogue({**base.entries, **described}, {**base.groups, **file.groups})
    for name, members in [
        *joined.groups.items(),
        *((entry.name, entry.needs + entry.fits) for entry in joined.entries.values()),
    ]:
        for member in members:
            if member not in joined.entries:
                raise BadInput(
                    f"{path}: '{displayed(name)}' names '{displayed(member)}', which is not an entry.",
                    "Correct the name.",
                )
    return joined
