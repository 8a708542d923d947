"""`onetoall fetch`: bring models to this machine, see what is here, check it, remove it."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from typer import Argument, Option, confirm

from onetoall_cli.cli.installed_models import (
    list_entries,
    print_paths,
    remove_entries,
    size_text,
    verify_entries,
)
from onetoall_cli.cli.options import subcommand
from onetoall_cli.cli.report import Report
from onetoall_cli.errors import BadInput

if TYPE_CHECKING:
    from onetoall_cli.hub import Catalogue
    from onetoall_cli.hub.fetch import FetchPlan


@dataclass(frozen=True)
class FetchOptions:
    """How to fetch."""

    HEADING: ClassVar[str] = "Fetching"

    yes: Annotated[bool, Option("--yes", "-y", help="Do not ask before a large download.")] = False
    dry_run: Annotated[bool, Option("--dry-run", help="Say what would be fetched, how much and where.")] = False
    revision: Annotated[
        str | None, Option(metavar="NAME", help="Branch, tag or commit instead of the catalogue's.")
    ] = None
    without_text_encoder: Annotated[
        bool, Option("--without-text-encoder", help="Leave it out: prompt embeddings are stored already, or imported.")
    ] = False
    quantize: Annotated[
        Literal["int8", "nf4"] | None, Option(help="Also make a smaller copy, used as NAME-int8 or NAME-nf4.")
    ] = None
    keep_original: Annotated[
        bool, Option("--keep-original/--no-keep-original", help="With --quantize: whether the original stays.")
    ] = True
    overwrite: Annotated[bool, Option("--overwrite", help="With --quantize: make the copy anew.")] = False


@dataclass(frozen=True)
class Actions:
    """What to do instead of fetching."""

    HEADING: ClassVar[str] = "Looking after what is here"

    listing: Annotated[bool, Option("--list", help="What there is: installed or not, size, revision.")] = False
    verify: Annotated[bool, Option("--verify", help="Hash every file and say what is broken.")] = False
    repair: Annotated[bool, Option("--repair", help="With --verify: fetch what is broken again.")] = False
    remove: Annotated[bool, Option("--remove", help="Remove; what another model needs stays.")] = False
    path: Annotated[bool, Option("--path", help="Print the folder of an installed entry.")] = False


@subcommand
def fetch(
    options: FetchOptions,
    actions: Actions,
    report: Report,
    names: Annotated[
        list[str] | None,
        Argument(metavar="NAME", help="1.3b, 14b, pose, ... (see --list), a group as `all`, or hf:OWNER/REPO."),
    ] = None,
) -> None:
    """Bring models to this machine, with all they need.

    Files go to the Hugging Face cache (HF_HOME), shared with other programs; HF_TOKEN, HF_ENDPOINT, HF_HUB_OFFLINE
    and proxies hold. Interrupted at any point, the same command continues where it stopped. On a terminal, a download
    of more than 1 GB is asked about; without a terminal it needs --yes.

    \b
    Examples:
    onetoall fetch 1.3b
    onetoall fetch 14b --quantize nf4 --no-keep-original --yes
    onetoall fetch --list
    onetoall fetch --verify --repair
    """
    from onetoall_cli.hub import load_catalogue

    names = names or []
    chosen = [name for name in ("listing", "verify", "remove", "path") if getattr(actions, name)]
    if len(chosen) > 1:
        raise BadInput("Only one of --list, --verify, --remove and --path can be done at a time.", "Choose one.")
    if actions.repair and not actions.verify:
        raise BadInput("--repair goes with --verify.", "Run `onetoall fetch --verify --repair`.")
    catalogue = load_catalogue()
    if actions.verify:
        verify_entries(names, actions.repair, report)
    elif actions.remove:
        remove_entries(names, catalogue, report)
    elif actions.path:
        print_paths(names, catalogue, report)
    elif actions.listing or not names:
        list_entries(names, catalogue, report)
    else:
        _fetch(names, options, catalogue, report)


def _fetch(names: list[str], options: FetchOptions, catalogue: Catalogue, report: Report) -> None:
    from onetoall_cli.hub.fetch import fetch_lock, plan_fetch, run_plan

    started = time.monotonic()
    with fetch_lock(lambda: report.note("Waiting for another onetoall that is fetching.")):
        plan = plan_fetch(
            names,
            catalogue=catalogue,
            revision=options.revision,
            without=_left_out(names, options, catalogue),
        )
        licences = {part.target.name: catalogue.entry(part.target.name).licence for part in plan.parts}
        fields = _plan_fields(plan, licences)
        if options.dry_run:
            report.result(_plan_prose(plan, licences), **fields, dry_run=True)
            return
        if not _allowed(plan, licences, options, report):
            report.result("Nothing was fetched.", **fields, fetched=[])
            return
        run_plan(plan, progress=report.counter(f"Fetching {len(plan.pending)} file(s)", "bytes"))
        copies = _quantise(names, options, catalogue, report) if options.quantize else []
    seconds = time.monotonic() - started
    fetched = [part.target.name for part in plan.parts]
    report.result(
        f"Ready: {', '.join([*fetched, *copies])}.", **fields, fetched=fetched, copies=copies, seconds=round(seconds, 1)
    )


def _left_out(names: list[str], options: FetchOptions, catalogue: Catalogue) -> list[str]:
    """Entries not to fetch: the text encoder where that is wished, an original whose copy alone is to stay."""

    from onetoall_cli.hub.quantised_copies import has_copy

    without = []
    if options.without_text_encoder:
        without += [name for name, entry in catalogue.entries.items() if entry.kind == "text-encoder"]
    if options.quantize and not options.keep_original and not options.overwrite:
        without += [entry.name for entry in catalogue.expand(names) if has_copy(entry.name, options.quantize)]
    return without


def _plan_fields(plan: FetchPlan, licences: dict[str, str]) -> dict[str, Any]:
    from onetoall_cli.hub.places import hub_cache

    parts = [
        {
            "name": part.target.name,
            "repository": part.target.repository,
            "licence": licences[part.target.name],
            "revision": part.target.revision,
            "commit": part.target.commit,
            "files": len(part.target.files),
            "size": part.target.size,
            "to_fetch": part.bytes_to_fetch,
            "path": part.target.folder,
        }
        for part in plan.parts
    ]
    return {"bytes": plan.bytes_to_fetch, "cache": hub_cache(), "parts": parts}


def _plan_prose(plan: FetchPlan, licences: dict[str, str]) -> str:
    from onetoall_cli.hub.places import hub_cache

    lines = []
    for part in plan.parts:
        target = part.target
        missing = f"{size_text(part.bytes_to_fetch)} to fetch" if part.bytes_to_fetch else "here already"
        lines.append(
            f"{target.name:<14} {len(target.files):>3} files  {size_text(target.size):>9}  {missing:<22} "
            f"{target.repository}@{target.commit[:8]}"
        )
        lines.append(f"{'':<14} licence: {licences[target.name]}")
    lines.append(f"{size_text(plan.bytes_to_fetch)} into {hub_cache()}")
    return "\n".join(lines)


def _allowed(plan: FetchPlan, licences: dict[str, str], options: FetchOptions, report: Report) -> bool:
    """Whether a large download may start: asked on a terminal, told by --yes without one."""
    from onetoall_cli.hub.fetch import ASK_ABOVE

    if plan.bytes_to_fetch <= ASK_ABOVE or options.yes:
        return True
    if not _on_terminal():
        raise BadInput(
            f"This would download {size_text(plan.bytes_to_fetch)}, and there is no terminal to ask on.",
            "Pass --yes, or --dry-run to see what it is.",
        )
    print(_plan_prose(plan, licences), file=sys.stderr)
    return confirm(f"Download {size_text(plan.bytes_to_fetch)}?", default=True, err=True)


def _on_terminal() -> bool:
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))  # None: closed


def _quantise(names: list[str], options: FetchOptions, catalogue: Catalogue, report: Report) -> list[str]:
    from onetoall_cli.hub.quantised_copies import has_copy
    from onetoall_cli.hub.remove import drop_original
    from onetoall_cli.weights.quantise import quantise_entry

    assert options.quantize is not None
    networks = [entry.name for entry in catalogue.expand(names) if entry.kind == "model"]
    if not networks:
        raise BadInput("--quantize is for networks.", f"Models: {', '.join(catalogue.models)}.")
    for name in networks:
        if options.overwrite or not has_copy(name, options.quantize):
            quantise_entry(name, options.quantize, catalogue, progress=report.counter(f"Quantising {name}", "steps"))
        if not options.keep_original:
            report.note(f"Removed the original of {name}: {size_text(drop_original(name))}.")
    return [f"{name}-{options.quantize}" for name in networks]
