"""The catalogue of models: their repositories and what each of them needs, as data (`catalogue.yaml`).

The user's own `catalogue.yaml` in the configuration folder adds entries to the package's or replaces them.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from typing import Any

import yaml

from onetoall_cli.errors import BadInput
from onetoall_cli.hub.defaults import GenerationDefaults
from onetoall_cli.hub.places import user_catalogue
from onetoall_cli.precisions import QUANTISED

KINDS = ("model", "vae", "text-encoder", "detector", "metric")
HUB_PREFIX = "hf:"

_REPOSITORY = re.compile(r"(datasets/)?[\w.-]+/[\w.-]+")
_FIELDS = {
    "kind": str,
    "title": str,
    "repository": str,
    "revision": str,
    "files": list,
    "size": int,
    "size_is": str,
    "licence": str,
    "needs": list,
    "parameters": int,
    "architecture": dict,
    "defaults": dict,
}
_REQUIRED = ("kind", "title", "repository", "files")

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


@dataclass(frozen=True)
class Entry:
    """Something that can be fetched: a model, a VAE, a text encoder, a detector or the network of a metric.

    Attributes:
        name: Its name in `onetoall fetch NAME`.
        kind: One of `KINDS`.
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
    """

    name: str
    kind: str
    title: str
    repository: str
    files: tuple[str, ...]
    revision: str = "main"
    size: int | None = None
    size_is: str = "estimate"
    licence: str = "see the repository"
    needs: tuple[str, ...] = ()
    parameters: int | None = None
    architecture: dict[str, Any] | None = None
    defaults: GenerationDefaults | None = None


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
            f"Known: {', '.join([*self.entries, *self.groups])}; or hf:OWNER/REPO.",
        )

    def network(self, name: str) -> tuple[Entry, str | None]:
        """The entry of a network, and the precision of a quantised copy (`14b-nf4`); None if it is not quantised.

        Raises:
            BadInput: There is no such entry, or it is not a network.
        """
        base, precision = self._split_variant(name) or (name, None)
        entry = self.entry(base)
        if entry.kind != "model":
            raise BadInput(f"'{name}' is a {entry.kind}, not a model.", f"Models: {', '.join(self.models)}.")
        return entry, precision

    def _split_variant(self, name: str) -> tuple[str, str] | None:
        base, _, precision = name.rpartition("-")
        if name not in self.entries and precision in QUANTISED and base in self.entries:
            return base, precision
        return None

    def _hub_entry(self, name: str) -> Entry:
        repository, _, revision = name.removeprefix(HUB_PREFIX).partition("@")
        if not _REPOSITORY.fullmatch(repository):
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
    shipped = resources.files("onetoall_cli.hub").joinpath("catalogue.yaml")
    catalogue = parse_catalogue(shipped.read_text(encoding="utf-8"), source="catalogue.yaml")
    own = user_catalogue()
    if not own.exists():
        return catalogue
    return parse_catalogue(own.read_text(encoding="utf-8"), source=str(own), base=catalogue)


def parse_catalogue(text: str, *, source: str, base: Catalogue | None = None) -> Catalogue:
    """Read a catalogue and add it to `base`.

    Raises:
        BadInput: The text is not YAML of the documented form.
    """
    try:
        content = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise BadInput(f"{source} is not valid YAML: {error}.", "Correct the file.") from error
    if not isinstance(content, dict) or not set(content) <= {"entries", "groups"}:
        raise BadInput(f"{source} must hold 'entries' and 'groups' only.", "See the package's catalogue.yaml.")
    entries = dict(base.entries) if base else {}
    for name, fields in (content.get("entries") or {}).items():
        entries[str(name)] = _parse_entry(str(name), fields, source)
    groups = dict(base.groups) if base else {}
    for name, members in (content.get("groups") or {}).items():
        groups[str(name)] = tuple(str(member) for member in members)
    _check_references(entries, groups, source)
    return Catalogue(entries, groups)


def _parse_entry(name: str, fields: Any, source: str) -> Entry:
    where = f"{source}: entry '{name}'"
    if not isinstance(fields, dict):
        raise BadInput(f"{where} is not a mapping.", f"Give it {', '.join(_REQUIRED)}.")
    for field, value in fields.items():
        wanted = _FIELDS.get(field)
        if wanted is None:
            raise BadInput(f"{where} has an unknown field '{field}'.", f"Known: {', '.join(_FIELDS)}.")
        if not isinstance(value, wanted):
            raise BadInput(f"{where}: {field} is {value!r}.", f"It must be a {wanted.__name__}.")
    absent = [field for field in _REQUIRED if field not in fields]
    if absent:
        raise BadInput(f"{where} lacks {', '.join(absent)}.", "Add what is missing.")
    if fields["kind"] not in KINDS:
        raise BadInput(f"{where}: kind is '{fields['kind']}'.", f"It must be one of {', '.join(KINDS)}.")
    if not _REPOSITORY.fullmatch(fields["repository"]):
        raise BadInput(f"{where}: repository is '{fields['repository']}'.", "Write OWNER/REPO or datasets/OWNER/REPO.")
    fields = {**fields, "files": tuple(fields["files"]), "needs": tuple(fields.get("needs", ()))}
    if "defaults" in fields:
        fields["defaults"] = GenerationDefaults.from_dict(fields["defaults"], source=where)
    return Entry(name=name, **fields)


def _check_references(entries: dict[str, Entry], groups: dict[str, tuple[str, ...]], source: str) -> None:
    for name, members in [*groups.items(), *((entry.name, entry.needs) for entry in entries.values())]:
        for member in members:
            if member not in entries:
                raise BadInput(f"{source}: '{name}' names '{member}', which is not an entry.", "Correct the name.")
