"""What commands that need a model call: find it, and fetch it if the user allowed that."""

from collections.abc import Callable

from onetoall_cli.animator.choice import choose_model, smallest_model
from onetoall_cli.errors import ModelMissing
from onetoall_cli.hub.catalogue import Catalogue, load_catalogue
from onetoall_cli.hub.location import ModelLocation, locate_model


def ensure_model(
    name_or_dir: str | None,
    *,
    auto_fetch: bool = False,
    note: Callable[[str], None] | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> ModelLocation:
    """`locate_model`, fetching what is missing if the user allowed that.

    Args:
        name_or_dir: As `locate_model`; with None and nothing installed, the smallest model is fetched.
        auto_fetch: Whether to fetch; otherwise ModelMissing says which command does.
        note: Called with a line about what is chosen or fetched.
        progress: Called with (bytes fetched, bytes in all).

    Raises:
        ModelMissing, BadInput: As `locate_model`.
        OutOfResources: No room to fetch it.
    """
    catalogue = load_catalogue()
    try:
        if name_or_dir is not None:
            return locate_model(name_or_dir, catalogue=catalogue)
        choice = choose_model(catalogue)
        if note:
            note(f"Using {choice.name}: {choice.reason}.")
        return locate_model(choice.name, catalogue=catalogue)
    except ModelMissing:
        if not auto_fetch or (name_or_dir is not None and not catalogue.knows(name_or_dir)):
            raise
    return _fetch(name_or_dir or smallest_model(catalogue), catalogue, note, progress)


def _fetch(
    name: str,
    catalogue: Catalogue,
    note: Callable[[str], None] | None,
    progress: Callable[[int, int | None], None] | None,
) -> ModelLocation:
    from onetoall_cli.hub.fetch import fetch_lock, plan_fetch, run_plan
    from onetoall_cli.weights.quantise import quantise_entry

    note = note or (lambda text: None)
    entry, precision = catalogue.network(name)
    with fetch_lock(lambda: note("Waiting for another onetoall that is fetching.")):
        plan = plan_fetch([entry.name if precision else name], catalogue=catalogue)
        note(f"Fetching {name}: {plan.bytes_to_fetch / 10**9:.2f} GB.")
        run_plan(plan, progress=progress)
        if precision:
            quantise_entry(entry.name, precision, catalogue)
    return locate_model(name, catalogue=catalogue)
