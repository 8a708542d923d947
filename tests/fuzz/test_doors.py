"""Every parser of files from outside has a door that is fuzzed: a new one without fails here."""

import ast
from collections.abc import Iterator
from pathlib import Path

import onetoall_cli

from .doors import DOORS

PACKAGE = Path(onetoall_cli.__file__).parent

# Calls that read a file's structure: our own gate, and the libraries' readers.
PARSERS = {
    *("read_form", "read_document", "parse_json", "parse_yaml", "read_model_file", "indexed_files"),
    *("safe_open", "load_file", "load_config", "from_pretrained", "json.load", "json.loads", "yaml.safe_load"),
    *("yaml.load", "np.load", "torch.load", "pickle.load", "Image.open", "av.open", "zipfile.ZipFile"),
    *("InferenceSession", "onnxruntime.InferenceSession", "load_state_dict_file", "tarfile.open", "csv.reader"),
    *("csv.DictReader", "cv2.imread", "np.fromfile", "np.genfromtxt", "np.loadtxt"),
}

# Parsers that see no file from outside, or not first, and why.
EXEMPT = {
    "files.documents:parse_json": "the gate itself",
    "files.forms:read_form": "the gate itself",
    "files.weight_index:indexed_files": "called by two doors",
    "media.movie_writer:MovieWriter.__enter__": "writes",
    "media.lossless:LosslessWriter.__init__": "writes",
    "media.lossless:read_lossless": "frames of a run in progress, whose hash the state beside them carries",
    "animator.kept_segments:_whole_states": "a run in progress, whole or not by its hash",
    "runtime.memory:Workload.network_config": "what this process wrote",
    "runtime.memory:network_weights": "what this process wrote",
    "runtime.memory:_empty_vae": "what this process wrote",
    "bench.gpu_report:goldens": "the tests' own numbers",
    "bench.gpu_report:main": "the arguments that its own process passes",
    "bench.gpu_report:measured": "what a process of ours printed",
    "bench.measure:": "the arguments that its own process passes",
    "bench.measure:measure": "what a process of ours printed",
    "bench.memory:measured": "what a process of ours printed",
    "hub.fetch:_check_is_model": "`model_index.json` of the hub, through a form",
    "evaluation.puppets.segmenter:shipped_network": "inside the package",
    "evaluation.benchmarks.table:_file": "inside the package",
    "evaluation.benchmarks.sets:unpack": "fetched with a hash",
    "evaluation.networks.perceptual:linear_layers": "inside an installed package",
    "evaluation.networks.stored:_tensors": "fetched with a hash",
    "evaluation.networks.stored:_unpickled": "fetched with a hash, and tensors only",
    "pose.detectors.onnx_model:OnnxModel._session_on": "fetched with a hash; ONNX Runtime is not ours to fuzz",
    "weights.text_encoder:_load_tokenizer": "fetched with a hash; whatever its reader raises is caught",
    "weights.text_encoder:_load_encoder": "fetched with a hash; whatever its reader raises is caught",
    "weights.quantise:quantise_network": "its own shards; the original is read by `StoredTensors`",
    "training.latents:LatentCache.get": "its own cache",
}


def parsers() -> Iterator[tuple[str, str]]:
    """The functions of the package that parse, `module:Class.function`, and by what."""
    for path in sorted(PACKAGE.rglob("*.py")):
        module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        yield from _in(ast.parse(path.read_text(encoding="utf-8")), module, "")


def _in(node: ast.AST, module: str, name: str) -> Iterator[tuple[str, str]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield from _in(child, module, f"{name}.{child.name}".lstrip("."))
            continue
        if isinstance(child, ast.Call):
            called = ast.unparse(child.func)
            if called in PARSERS or called.rsplit(".", 1)[-1] in {"from_pretrained", "load_config", "InferenceSession"}:
                yield f"{module}:{name}", called
        yield from _in(child, module, name)


def test_every_parser_in_the_package_has_a_door_that_is_fuzzed() -> None:
    known = {reader for door in DOORS.values() for reader in door.readers} | set(EXEMPT)
    missing = [f"{where} ({by})" for where, by in parsers() if where not in known]
    assert missing == [], "give it a door in tests/fuzz/doors.py"


def test_no_door_is_of_a_reader_that_is_gone() -> None:
    names = {where for where, _ in parsers()}
    assert [reader for door in DOORS.values() for reader in door.readers if reader not in names] == []
    assert [name for name in EXEMPT if name not in names] == []
