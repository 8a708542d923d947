"""`onetoall prompt-embeds`: carry prompt embeddings from a machine with the text encoder to one without."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from typer import Argument, Option

from onetoall_cli.cli.options import subcommand
from onetoall_cli.cli.outputs import check_targets
from onetoall_cli.cli.report import Report
from onetoall_cli.errors import BadInput
from onetoall_cli.files.outputs import Output

if TYPE_CHECKING:
    from onetoall_cli.hub import ModelLocation


@subcommand
def prompt_embeds(
    action: Annotated[
        Literal["list", "export", "import"],
        Argument(help="list: what is stored; export: write FILE; import: take FILE in."),
    ],
    report: Report,
    file: Annotated[Path | None, Argument(help="A prompt_embeds.safetensors.")] = None,
    model: Annotated[
        str | None, Option(metavar="NAME|DIR", help="Of which model; default: the one that would be used.")
    ] = None,
    prompt: Annotated[
        list[str] | None,
        Option(help="export: this prompt too (repeatable), beside the empty one and the model's negative one."),
    ] = None,
    overwrite: Annotated[bool, Option("--overwrite", help="export: replace FILE.")] = False,
) -> None:
    """List, export or import the embeddings of prompts.

    The text encoder is large (23 GB to download) and runs once per new prompt. Export on a machine that has it,
    import on one fetched with `onetoall fetch 1.3b --without-text-encoder`.

    \b
    Examples:
    onetoall prompt-embeds export prompts.safetensors
    onetoall prompt-embeds import prompts.safetensors
    """
    if action != "list" and file is None:
        raise BadInput(
            f"`prompt-embeds {action}` needs a FILE.", f"onetoall prompt-embeds {action} prompts.safetensors"
        )
    if action == "import":
        assert file is not None
        _import(file, report)
        return
    from onetoall_cli.animator.ensure import ensure_model

    location = ensure_model(model, note=report.note)
    if action == "list":
        _list(location, report)
    else:
        assert file is not None
        check_targets([Output(file, (".safetensors",), option="FILE")], overwrite=overwrite)
        _export(file, location, prompt or [], report)


def _list(location: ModelLocation, report: Report) -> None:
    from onetoall_cli.weights import PromptStore

    stores = {str(path): PromptStore(path).prompts() for path in location.embeddings if path.exists()}
    lines = [f"{path}: {prompt!r}" for path, prompts in stores.items() for prompt in prompts]
    report.result("\n".join(lines) or "Nothing is stored.", model=location.name, stores=stores)


def _export(file: Path, location: ModelLocation, prompts: list[str], report: Report) -> None:
    from onetoall_cli.weights import PromptStore, prompt_rows

    wanted = list(dict.fromkeys(["", location.defaults.negative_prompt, *prompts]))
    rows = prompt_rows(location, wanted, device="auto", note=report.note)
    PromptStore(file, location.encoder).replace_all(rows)
    report.result(f"{file}  {len(rows)} prompts", output=file, prompts=wanted, encoder=location.encoder)


def _import(file: Path, report: Report) -> None:
    from onetoall_cli.hub.places import prompt_store, supplied_prompts
    from onetoall_cli.weights import PromptStore

    if not file.is_file():
        raise BadInput(f"{file} is not there.", "Give a file that `onetoall prompt-embeds export` wrote.")
    source = PromptStore(file)
    prompts = source.prompts()
    rows = {prompt: found for prompt in prompts if (found := source.get(prompt)) is not None}
    if not rows:
        raise BadInput(f"{file} holds no prompts.", "Export it again.")
    encoder = source.encoder
    portable = encoder is not None and "@" in encoder  # a local folder's encoder means nothing elsewhere
    target = prompt_store(encoder) if portable and encoder else supplied_prompts()
    PromptStore(target, encoder).put_all(rows)
    report.result(f"{len(rows)} prompts into {target}", prompts=prompts, store=target, encoder=encoder)
