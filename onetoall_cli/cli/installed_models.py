"""The other side of `onetoall fetch`: what is on this machine, whether it is intact, and removing it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from onetoall_cli.cli.report import Report
from onetoall_cli.errors import BadInput, ModelMissing

if TYPE_CHECKING:
    from onetoall_cli.hub import Catalogue
    from onetoall_cli.hub.overview import Row


def list_entries(names: list[str], catalogue: Catalogue, report: Report) -> None:
    """`--list`: what is here and what could be."""
    from onetoall_cli.hub.overview import overview
    from onetoall_cli.hub.places import data_folder, hub_cache, user_catalogue

    rows = [row for row in overview(catalogue) if not names or row.name in names]
    unknown = [name for name in names if name not in {row.name for row in rows}]
    if unknown:
        raise BadInput(f"There is no entry '{unknown[0]}'.", "`onetoall fetch --list` shows all.")
    groups = {name: list(members) for name, members in catalogue.groups.items()}
    report.result(
        _list_prose(rows, groups),
        entries=[asdict(row) for row in rows],
        groups=groups,
        cache=hub_cache(),
        data=data_folder(),
        catalogue=user_catalogue(),
    )


def _list_prose(rows: list[Row], groups: dict[str, list[str]]) -> str:
    width = max((len(row.name) for row in rows), default=4)
    lines = [f"{'name':<{width}}  {'state':<13}  {'size':>10}  {'revision':<10}  what, its licence, and who needs it"]
    for row in rows:
        size = "" if row.size is None else ("~" if row.size_is == "estimate" else "") + size_text(row.size)
        needed = f" (needed by {', '.join(row.needed_by)})" if row.needed_by else ""
        revision = (row.commit or row.revision or "")[:8]
        lines.append(
            f"{row.name:<{width}}  {row.state:<13}  {size:>10}  {revision:<10}  {row.title}; {row.licence}{needed}"
        )
    lines += [f"{name:<{width}}  group: {', '.join(members)}" for name, members in groups.items()]
    return "\n".join(lines)


def verify_entries(names: list[str], repair: bool, report: Report) -> None:
    """`--verify` and `--repair`."""
    from onetoall_cli.hub.fetch import fetch_lock, plan_repair, run_plan
    from onetoall_cli.hub.verify import delete_damaged, verify

    with fetch_lock(lambda: report.note("Waiting for another onetoall that is fetching.")):
        checked, faults = verify(names, progress=report.counter("Checking", "bytes"))
        repaired = bool(faults) and repair
        if repaired:
            plan = plan_repair(delete_damaged(faults))
            run_plan(plan, progress=report.counter(f"Repairing {len(plan.pending)} file(s)", "bytes"))
    lines = [f"{fault.name}: {fault.path}: {fault.problem}" for fault in faults]
    if faults and not repaired:
        for line in lines:
            report.note(line)
        raise ModelMissing(
            f"{len(faults)} file(s) are broken: {faults[0].path}: {faults[0].problem}.",
            "Run `onetoall fetch --verify --repair`.",
        )
    summary = f"{len(checked)} checked: {', '.join(checked) or 'nothing is installed'}."
    report.result(
        "\n".join([*lines, f"Repaired {len(faults)} file(s)."] if repaired else [summary]),
        checked=checked,
        faults=[asdict(fault) for fault in faults],
        repaired=repaired,
    )


def remove_entries(names: list[str], catalogue: Catalogue, report: Report) -> None:
    """`--remove`."""
    from onetoall_cli.hub.fetch import fetch_lock
    from onetoall_cli.hub.remove import remove

    if not names:
        raise BadInput("--remove needs names.", "`onetoall fetch --list` shows what is installed.")
    with fetch_lock(lambda: report.note("Waiting for another onetoall that is fetching.")):
        freed = remove(names, catalogue)
    report.result(f"Removed {', '.join(names)}: {size_text(freed)} freed.", removed=names, bytes=freed)


def print_paths(names: list[str], catalogue: Catalogue, report: Report) -> None:
    """`--path`."""
    from onetoall_cli.hub.overview import overview

    if not names:
        raise BadInput("--path needs a name.", "`onetoall fetch --list` shows what is installed.")
    rows = {row.name: row for row in overview(catalogue)}
    paths = {}
    for name in names:
        row = rows.get(name)
        if row is None or row.path is None:
            raise ModelMissing(f"'{name}' is not installed.", f"Run `onetoall fetch {name}`.")
        paths[name] = row.path
    report.result("\n".join(str(path) for path in paths.values()), paths={n: str(p) for n, p in paths.items()})


def size_text(size: float) -> str:
    """Bytes for people, in decimal units as disks are sold: "4.42 GB"."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            return f"{size:.0f} {unit}" if unit in ("B", "kB") else f"{size:.2f} {unit}"
        size /= 1000
    raise AssertionError
