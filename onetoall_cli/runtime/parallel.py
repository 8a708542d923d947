"""How the processes of a run share each step: by the passes of guidance, by tokens, or both (`--parallel`)."""

import re
from dataclasses import dataclass

from onetoall_cli.errors import BadInput

_FORM = re.compile(r"guidance|ulysses:\d+|guidance,ulysses:\d+")


@dataclass(frozen=True)
class Parallel:
    """How many processes share what; their product is the number of processes.

    Attributes:
        passes: Among how many the passes of a step are divided.
        tokens: How many share the tokens of a pass (Ulysses).
    """

    passes: int = 1
    tokens: int = 1

    @property
    def count(self) -> int:
        """All processes."""
        return self.passes * self.tokens

    def __str__(self) -> str:
        parts = ["guidance"] if self.passes > 1 else []
        return ",".join([*parts, f"ulysses:{self.tokens}"] if self.tokens > 1 else parts)


def choose_parallel(processes: int, wanted: str | None, *, passes: int, heads: int, cache: str = "none") -> Parallel:
    """How `processes` share a step; those that can compute passes do so first.

    Args:
        processes: How many there are.
        wanted: "guidance", "ulysses:N" or "guidance,ulysses:N"; None: the best that is possible.
        passes: Passes of a step with full guidance.
        heads: Attention heads of the network, of which each process takes as many as the others.
        cache: The step cache, as in `sampling.caching`.

    Raises:
        BadInput: They cannot share a step so; the message names what they can.
    """
    if wanted is not None and not _FORM.fullmatch(wanted):
        raise BadInput(
            f"--parallel {wanted} is not known.", "Give guidance, ulysses:N or guidance,ulysses:N, with N processes."
        )
    if processes == 1:
        if wanted is not None:
            raise BadInput("--parallel needs several processes.", "Add --gpus 2, or start it with torchrun.")
        return Parallel()
    # the first-block cache decides by its tokens, so processes with other tokens could decide otherwise
    shares = [1] if cache == "first-block" else [each for each in range(1, heads + 1) if heads % each == 0]
    possible = [
        Parallel(each, processes // each)
        for each in range(passes, 0, -1)
        if processes % each == 0 and processes // each in shares
    ]
    fitting = [each for each in possible if wanted in (None, str(each))]
    if not fitting:
        counts = sorted({a * b for a in range(1, passes + 1) for b in shares} - {1})
        tokens = ", ".join(map(str, shares[1:])) or "none"
        how = f"{processes} processes cannot share a step" + (f" by {wanted}" if wanted else "") + "."
        raise BadInput(
            how,
            f"Here guidance has {passes} pass(es), and N of ulysses:N may be {tokens}; processes may be "
            f"{', '.join(map(str, counts)) or 'none besides one'}.",
        )
    return fitting[0]
