"""Find a model by name or folder: the paths and settings that loading needs."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from onetoall_cli.errors import BadInput, ModelMissing
from onetoall_cli.files.contents import check_whole
from onetoall_cli.hub import places
from onetoall_cli.hub.catalogue import Catalogue, Entry, load_catalogue
from onetoall_cli.hub.defaults import GENERATION_CONFIG, GenerationDefaults
from onetoall_cli.hub.index import Installed, installed
from onetoall_cli.hub.model_files import CONFIG, NETWORK_CLASS, AnyConfig, NetworkConfig, read_model_file
from onetoall_cli.hub.quantised_copies import has_copy, manifest_of
from onetoall_cli.hub.weight_files import weight_files

PROMPT_EMBEDS = "prompt_embeds.safetensors"
SHIPPED = Path(__file__).parent.parent / "assets"  # models inside the package, a folder each


@dataclass(frozen=True)
class ModelLocation:
    """The paths of a usable model, and how to load it.

    Attributes:
        name: The name a user gives: `1.3b`, `14b-nf4`, `hf:OWNER/REPO`, or a folder's path.
        transformer: The network's folder.
        published: Whether the folder holds only weights with the released tensor names, whose shapes give the
            configuration (`weights.network_config`), instead of diffusers' layout with a `config.json`.
        architecture: The configuration in the catalogue; None where it has none.
        vae: The VAE's folder (diffusers).
        scheduler: The scheduler's folder, or None.
        text_encoder: The text encoder's folder, or None if it is not installed.
        tokenizer: The tokenizer's folder, or None if it is not installed.
        embeddings: Prompt stores to search, the model's own first; some may not exist yet.
        defaults: The model's generation defaults.
        revision: The commit of the network, if known.
        encoder: The text encoder of the embeddings: `OWNER/REPO@commit`, `OWNER/REPO` if it is not installed,
            `local-...` for a folder; None if the model has none.
    """

    name: str
    transformer: Path
    published: bool
    architecture: dict[str, Any] | None
    vae: Path
    scheduler: Path | None
    text_encoder: Path | None
    tokenizer: Path | None
    embeddings: tuple[Path, ...]
    defaults: GenerationDefaults
    revision: str | None
    encoder: str | None = None


def locate_model(name_or_dir: str, *, catalogue: Catalogue | None = None) -> ModelLocation:
    """Find a model on this machine, without loading it.

    Args:
        name_or_dir: A catalogue name (`1.3b`, or a quantised copy such as `14b-nf4`), `hf:OWNER/REPO`, a folder in
            diffusers' layout, or a folder or a single safetensors file of released weights.
        catalogue: The catalogue; None reads the package's and the user's.

    Raises:
        ModelMissing: It is not installed or incomplete; the message names the file or the fetch command.
        BadInput: There is no such name or folder, or a setting cannot be used.
    """
    catalogue = catalogue or load_catalogue()
    shipped = SHIPPED / name_or_dir
    if name_or_dir and "/" not in name_or_dir and (shipped / "model_index.json").is_file():
        return replace(locate_folder(shipped, catalogue=catalogue), name=name_or_dir)
    if catalogue.knows(name_or_dir):
        return _locate_installed(name_or_dir, catalogue)
    if Path(name_or_dir).is_dir():
        return locate_folder(Path(name_or_dir), catalogue=catalogue)
    if Path(name_or_dir).is_file():
        return _with_shared_parts(name_or_dir, Path(name_or_dir), None, catalogue, None, published=True)
    raise BadInput(
        f"There is no model or folder '{name_or_dir}'.",
        f"Known: {', '.join([*catalogue.models, *shipped_models()])}; or give hf:OWNER/REPO, a folder or a file.",
    )


def shipped_models() -> list[str]:
    """Names of the models inside the package, which need no download."""
    return sorted(path.parent.name for path in SHIPPED.glob("*/model_index.json"))


def locate_folder(folder: Path, *, catalogue: Catalogue | None = None) -> ModelLocation:
    """Find a model in a folder: diffusers' layout, or released weights (`*.safetensors` at its root).

    Released weights come without VAE and text encoder, so the installed ones are used.

    Raises:
        ModelMissing, BadInput: As `locate_model`.
    """
    check_whole(folder)
    if (folder / "model_index.json").is_file():
        return _locate_diffusers(folder, name=str(folder))
    if any(folder.glob("*.safetensors")):
        weight_files(folder)
        bare = _with_shared_parts(str(folder), folder, None, catalogue or load_catalogue(), None, published=True)
        return replace(bare, defaults=_defaults_in(folder))
    raise ModelMissing(
        f"{folder} is not a model: it has neither model_index.json nor *.safetensors.",
        "Give a folder in diffusers' layout or one of released weights.",
    )


def _locate_diffusers(folder: Path, name: str, encoder: str | None = None) -> ModelLocation:
    transformer = _network_folder(folder / "transformer")
    vae = _component(folder / "vae")
    text_encoder = _optional(folder / "text_encoder")
    if encoder is None and text_encoder is not None:
        encoder = places.local_encoder_name(text_encoder)
    own = folder / PROMPT_EMBEDS
    return ModelLocation(
        name=name,
        transformer=transformer,
        published=False,
        architecture=None,
        vae=vae,
        scheduler=_optional(folder / "scheduler"),
        text_encoder=text_encoder,
        tokenizer=_optional(folder / "tokenizer"),
        embeddings=((own,) if own.exists() else ()) + prompt_stores(encoder),
        defaults=_defaults_in(folder),
        revision=None,
        encoder=encoder,
    )


def _locate_installed(name: str, catalogue: Catalogue) -> ModelLocation:
    entry, precision = catalogue.network(name)
    known = installed().get(entry.name)
    if precision and has_copy(entry.name, precision):
        copy = places.copy_folder(name)
        check_whole(copy)
        revision = manifest_of(copy).commit
        location = _with_shared_parts(name, _network_folder(copy), revision, catalogue, entry, published=False)
    elif precision:
        command = f"onetoall fetch {entry.name} --quantize {precision}"
        raise ModelMissing(f"The model '{name}' is not installed.", f"Run `{command}`.")
    else:
        known = require(entry.name, known)
        if "@" in name and entry.revision not in (known.revision, known.commit):
            raise ModelMissing(f"{entry.name} is installed at {known.revision}.", f"Run `onetoall fetch {name}`.")
        location = _locate_snapshot(known, catalogue, entry)
    return replace(location, defaults=entry.defaults or location.defaults)


def _locate_snapshot(known: Installed, catalogue: Catalogue, entry: Entry) -> ModelLocation:
    if (known.folder / "model_index.json").is_file():
        encoder = f"{known.repository}@{known.commit}" if (known.folder / "text_encoder").is_dir() else None
        return replace(_locate_diffusers(known.folder, known.name, encoder), revision=known.commit)
    weight_files(known.folder)  # raises if a file is missing
    return _with_shared_parts(known.name, known.folder, known.commit, catalogue, entry, published=True)


def _with_shared_parts(
    name: str,
    transformer: Path,
    revision: str | None,
    catalogue: Catalogue,
    entry: Entry | None,
    *,
    published: bool,
) -> ModelLocation:
    """A network with the VAE and text encoder that all released networks share."""
    known = installed()
    needs = entry.needs if entry is not None else catalogue.shared_parts
    vae_name = next((need for need in needs if catalogue.entries[need].kind == "vae"), None)
    if vae_name is None:
        raise ModelMissing(f"The model '{name}' has no VAE.", "Add `needs: [vae]` to its entry in the catalogue.")
    vae = require(vae_name, known.get(vae_name)).folder
    text_name = next((need for need in needs if catalogue.entries[need].kind == "text-encoder"), None)
    text = known.get(text_name) if text_name else None
    present = text is not None and not text.missing()
    encoder = catalogue.entries[text_name].repository if text_name else None
    if present and text is not None:
        encoder = f"{text.repository}@{text.commit}"
    return ModelLocation(
        name=name,
        transformer=transformer,
        published=published,
        architecture=entry.architecture if entry and published else None,
        vae=_component(vae / "vae"),
        scheduler=_optional(vae / "scheduler"),
        text_encoder=_component(text.folder / "text_encoder") if present and text is not None else None,
        tokenizer=_component(text.folder / "tokenizer") if present and text is not None else None,
        embeddings=prompt_stores(encoder),
        defaults=GenerationDefaults(),
        revision=revision,
        encoder=encoder,
    )


def require(name: str, known: Installed | None) -> Installed:
    """The installed entry, if it is complete.

    Raises:
        ModelMissing: It is not; the message gives the fetch command.
    """
    if known is None:
        hint = " `--model tiny` works now, without a download." if "tiny" in shipped_models() else ""
        raise ModelMissing(f"The model '{name}' is not installed.", f"Run `onetoall fetch {name}`.{hint}")
    missing = known.missing()
    if missing:
        raise ModelMissing(
            f"{known.folder / missing[0].path} is missing or cut short"
            + (f" ({len(missing)} files of '{name}' are)." if len(missing) > 1 else "."),
            f"Run `onetoall fetch {name}`: only what is missing is downloaded.",
        )
    return known


def prompt_stores(encoder: str | None) -> tuple[Path, ...]:
    """The prompt stores of an encoder: that of its revision, else those of any revision, and imported embeddings."""
    if encoder is None:
        return (places.supplied_prompts(),)
    if "@" in encoder or encoder.startswith("local-"):
        return (places.prompt_store(encoder), places.supplied_prompts())
    any_revision = sorted(places.prompt_store_folder(encoder).glob("*.safetensors"))
    return (*any_revision, places.supplied_prompts())


def _network_folder(folder: Path) -> Path:
    config = _component(folder) / CONFIG
    class_name = read_model_file(AnyConfig, config).class_name
    if class_name != NETWORK_CLASS:
        found = f"a {class_name}" if class_name else "a network without a name"
        raise BadInput(f"{folder} holds {found}, not a One-to-All network.", "Choose another model.")
    read_model_file(NetworkConfig, config)
    weight_files(folder)
    return folder


def _component(folder: Path) -> Path:
    if not folder.is_dir():
        raise ModelMissing(f"{folder} is missing.", "The model's folder is incomplete: fetch or copy it again.")
    return folder


def _optional(folder: Path) -> Path | None:
    return folder if folder.is_dir() else None


def _defaults_in(folder: Path) -> GenerationDefaults:
    path = folder / GENERATION_CONFIG
    return GenerationDefaults.load(path) if path.exists() else GenerationDefaults()
