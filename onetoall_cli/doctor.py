"""The checks of `onetoall doctor`: the state of each part of the installation, with advice for problems."""

import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from onetoall_cli.animator.choice import choose_model
from onetoall_cli.errors import OnetoallError
from onetoall_cli.hub import places
from onetoall_cli.hub.catalogue import Catalogue, load_catalogue
from onetoall_cli.hub.location import locate_model
from onetoall_cli.hub.overview import overview
from onetoall_cli.runtime.machine import gpu_memory, system_memory

GOOD, NOTE, PROBLEM = "good", "note", "problem"
NEEDED_CODECS = (("libx264", "w"), ("aac", "w"), ("h264", "r"), ("hevc", "r"))
SMALL_MEMORY = 8 * 10**9  # bytes; the 1.3B with its VAE takes about 7.5 in bfloat16
SMALL_DISK = 15 * 10**9  # bytes; the 1.3B without text encoder, and room to work


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        subject: The part that was checked.
        state: "good", "note" (works, but could be better) or "problem".
        detail: What was found.
        advice: What to do; empty if the state is good.
    """

    subject: str
    state: str
    detail: str
    advice: str = ""


def diagnose() -> Iterator[Finding]:
    """Run all checks and yield their findings; an error in one check does not stop the others."""
    checks: tuple[tuple[str, Callable[[], Iterator[Finding]]], ...] = (
        ("Python", _python),
        ("torch", _torch),
        ("memory", _memory),
        ("quantisation", _quantisation),
        ("video", _video),
        ("pose detectors", _detectors),
        ("models", _models),
        ("prompt embeddings", _prompts),
        ("hub", _hub),
        ("disk", _disk),
    )
    for subject, check in checks:
        try:
            yield from check()
        except OnetoallError as error:
            yield Finding(subject, PROBLEM, error.problem, error.advice)
        except Exception as error:
            yield Finding(subject, PROBLEM, f"{type(error).__name__}: {error}", "Install onetoall-cli again.")


def _python() -> Iterator[Finding]:
    from onetoall_cli import __version__

    system = f"{platform.system()} {platform.machine()}"
    yield Finding("onetoall", GOOD, f"{__version__} on Python {platform.python_version()}, {system}")
    if sys.maxsize < 2**32:
        yield Finding("Python", PROBLEM, "32-bit", "Install a 64-bit Python: torch needs it.")


def _torch() -> Iterator[Finding]:
    import torch

    details = f"torch {torch.__version__}, diffusers {version('diffusers')}, transformers {version('transformers')}"
    gpu = gpu_memory()
    if gpu is not None:
        yield Finding("torch", GOOD, f"{details}; {gpu.device}")
    elif shutil.which("nvidia-smi"):
        advice = "Install torch for CUDA: see pytorch.org/get-started, or update the NVIDIA driver."
        yield Finding("torch", PROBLEM, f"{details}; there is an NVIDIA driver but torch sees no GPU", advice)
    else:
        yield Finding("torch", NOTE, f"{details}; no GPU", "It works on the CPU, slowly. A GPU with 8 GB is enough.")


def _memory() -> Iterator[Finding]:
    for memory in filter(None, (gpu_memory(), system_memory())):
        detail = f"{memory.device}: {memory.free / 10**9:.1f} of {memory.total / 10**9:.1f} GB free"
        small = memory.total < SMALL_MEMORY
        advice = "Use a quantised copy: `onetoall fetch 1.3b --quantize int8`." if small else ""
        yield Finding("memory", NOTE if small else GOOD, detail, advice)


def _quantisation() -> Iterator[Finding]:
    import bitsandbytes
    import torch

    weight = torch.eye(64)
    bitsandbytes.functional.int8_vectorwise_quant(weight.half())
    bitsandbytes.functional.quantize_4bit(weight, quant_type="nf4")
    yield Finding("quantisation", GOOD, f"bitsandbytes {bitsandbytes.__version__}: int8 and nf4 work")


def _video() -> Iterator[Finding]:
    import av

    libraries = ", ".join(
        f"{name} {'.'.join(map(str, number))}" for name, number in sorted(av.library_versions.items())
    )
    missing = [name for name, mode in NEEDED_CODECS if not _codec(name, mode)]
    if missing:
        advice = "Install PyAV from PyPI (`pip install --force-reinstall av`), whose wheels bring them."
        yield Finding("video", PROBLEM, f"PyAV {av.__version__} lacks {', '.join(missing)}", advice)
    else:
        yield Finding("video", GOOD, f"PyAV {av.__version__} ({libraries})")


def _codec(name: str, mode: str) -> bool:
    import av

    try:
        av.Codec(name, mode)  # type: ignore[arg-type]
    except ValueError:
        return False
    return True


def _detectors() -> Iterator[Finding]:
    import onnxruntime

    from onetoall_cli.pose.detect import installed_detectors
    from onetoall_cli.pose.detectors.table import DETECTORS

    installed, best = installed_detectors(), DETECTORS[0]
    providers = [name.removesuffix("ExecutionProvider") for name in onnxruntime.get_available_providers()]
    detail = f"{', '.join(installed)}; onnxruntime {onnxruntime.__version__} ({', '.join(providers)})"
    if any(row.fetch for row in DETECTORS if row.name in installed):
        yield Finding("pose detectors", GOOD, detail)
    else:
        advice = f"`onetoall fetch {best.fetch}` brings a better one, {best.name} ({best.cost})."
        yield Finding("pose detectors", NOTE, detail, advice)


def _models() -> Iterator[Finding]:
    catalogue = load_catalogue()
    rows = [row for row in overview(catalogue) if row.kind in ("model", "quantised copy")]
    for row in rows:
        if row.state == "installed":
            locate_model(row.name, catalogue=catalogue)  # raises and names the damaged file
            yield Finding(
                "models", GOOD, f"{row.name}: {(row.size or 0) / 10**9:.2f} GB, commit {(row.commit or '')[:8]}"
            )
        elif row.state == "incomplete":
            yield Finding("models", PROBLEM, f"{row.name} is incomplete", f"Run `onetoall fetch {row.name}`.")
    yield _choice(catalogue)


def _choice(catalogue: Catalogue) -> Finding:
    try:
        choice = choose_model(catalogue)
    except OnetoallError as error:
        return Finding("models", NOTE, error.problem, error.advice)
    return Finding("models", GOOD, f"without --model: {choice.name}, {choice.reason}")


def _prompts() -> Iterator[Finding]:
    from onetoall_cli.weights.text_encoder import has_prompts

    catalogue = load_catalogue()
    try:
        location = locate_model(choose_model(catalogue).name, catalogue=catalogue)
    except OnetoallError:
        return  # reported under models
    if has_prompts(location, ("", location.defaults.negative_prompt)):
        yield Finding("prompt embeddings", GOOD, "the default prompts are stored: the text encoder is not needed")
    elif location.text_encoder is not None:
        yield Finding("prompt embeddings", GOOD, "will be made by the text encoder when first needed")
    else:
        advice = "`onetoall fetch text-encoder`, or `onetoall prompt-embeds import FILE` from another machine."
        yield Finding("prompt embeddings", PROBLEM, "not stored, and the text encoder is not installed", advice)


def _hub() -> Iterator[Finding]:
    from huggingface_hub import constants, get_token

    from onetoall_cli.hub import web

    web.check_settings()
    token = "a token is set" if get_token() else "no token (none is needed for the released models)"
    proxies = "".join(f"; through {proxy}" for proxy in web.proxies())
    yield Finding("hub", GOOD, f"{web.address()}{proxies}; cache {places.hub_cache()}; {token}")
    if constants.HF_HUB_OFFLINE:
        yield Finding("hub", NOTE, "HF_HUB_OFFLINE is set", "Unset it to fetch models.")
    yield Finding("own files", GOOD, f"data {places.data_folder()}; catalogue {places.user_catalogue()}")


def _disk() -> Iterator[Finding]:
    for folder in (places.hub_cache(), places.data_folder()):
        existing: Path = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        free = shutil.disk_usage(existing).free
        detail = f"{free / 10**9:.1f} GB free for {folder}"
        if not os.access(existing, os.W_OK):
            yield Finding("disk", PROBLEM, f"{existing} is not writable", "Correct its rights, or set HF_HOME.")
        elif free < SMALL_DISK:
            yield Finding("disk", NOTE, detail, "Free some space, or put the cache on another disk with HF_HOME.")
        else:
            yield Finding("disk", GOOD, detail)
