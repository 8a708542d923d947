"""The doors: each way in which a file from outside enters the package, with a valid seed to be damaged.

A door opens one damaged folder. It may succeed or raise an `OnetoallError`; any other exception is a bug.
`READERS` of each door are the functions that parse; `test_doors.py` finds every parser in the package and asks for its
door here.
"""

import json
import os
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Door:
    """One way in.

    Attributes:
        make: Writes a valid seed into a folder.
        open: Reads it, as a command would.
        readers: The functions of the package that parse here, `module:function` without `onetoall_cli.`.
        quick: How many inputs the quick part tries.
        damaged: Patterns of the files that are damaged.
    """

    make: Callable[[Path], None]
    open: Callable[[Path], None]
    readers: tuple[str, ...]
    quick: int
    damaged: tuple[str, ...] = ("*",)


RECORD = {
    "onetoall": "0.1.0",
    "arguments": ["animate", "a b.png", [0x2D, 0xE9, 0x0A], "--seed", "7"],
    "model": {"name": "tiny", "revision": None},
    "result": {"width": 32, "height": 48, "segments": [13, 13], "fps": 10.0},
    "versions": {"torch": "2.9", "av": "17.1"},
}


def _animate(folder: Path, name: str) -> None:
    from onetoall_cli.media import VideoWriter

    with VideoWriter(folder / name, 32, 32, fps=10, metadata=RECORD) as video:
        for shade in (0, 90, 200):
            video.write(np.full((32, 32, 3), shade, np.uint8), time=shade / 1000)


def _make_outputs(folder: Path) -> None:
    from onetoall_cli.media import write_picture

    picture = np.zeros((24, 32, 3), np.uint8)
    for name in ("a.png", "a.webp"):
        write_picture(folder / name, picture, metadata=RECORD)
    for name in ("a.mp4", "a.gif"):
        _animate(folder, name)


def _open_records(folder: Path) -> None:
    from onetoall_cli.animator.records import read_record
    from onetoall_cli.cli.info import prose

    for file in _files(folder):
        record = read_record(file)
        assert prose(record, record.command()).isprintable() or "\n" in prose(record, record.command())


def _pose(frames: int = 3) -> object:
    from onetoall_cli.pose import PoseSequence

    keypoints = np.random.default_rng(0).uniform(1, 30, (frames, 1, 133, 3)).astype(np.float32)
    keypoints[..., 2] = 0.9
    return PoseSequence(keypoints, 32, 32, fps=10)


def _make_aligned(folder: Path) -> None:
    from onetoall_cli.alignment import Conditioning

    picture = np.zeros((32, 32, 3), np.uint8)
    source = {**RECORD, "audio": {"path": "/nowhere.mp4", "start": 0.0, "duration": None}}
    meta = {"mode": "pose", "why": "as asked", "anchor": 0, "shift": [0.0, 1.0], "source": source}
    aligned = Conditioning(picture, picture[..., 0] > 0, picture, _pose(), "full", "full", 64, meta)  # type: ignore[arg-type]
    aligned.save(folder / "aligned")


def _open_aligned(folder: Path) -> None:
    from onetoall_cli.alignment import Conditioning
    from onetoall_cli.animator.aligning import sound_of
    from onetoall_cli.animator.progress import Listener

    aligned = Conditioning.load(folder / "aligned")
    sound_of(aligned, Listener())
    if aligned.canvas_short_side <= 512:
        aligned.pose_frames(0, 1)


@contextmanager
def _machine(folder: Path):
    """The user's folders of onetoall are in `folder`."""
    names = {f"XDG_{kind}_HOME": str(folder / kind.lower()) for kind in ("DATA", "CONFIG", "CACHE")}
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(names)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


CATALOGUE = """
entries:
  mine:
    kind: model
    title: My own
    repository: me/mine
    revision: main
    files: ["*.safetensors", "*.json"]
    size: 1_000_000
    size_is: estimate
    licence: Apache-2.0
    needs: [vae]
    parameters: 1000
    architecture: {num_layers: 2, eps: 1e-6}
    defaults: {short_side: 384, image_guidance_scale: 2.5, face: auto, max_segment_frames: 81}
groups:
  all: [mine, vae]
"""


def _make_catalogue(folder: Path) -> None:
    (folder / "config" / "onetoall").mkdir(parents=True)
    (folder / "config" / "onetoall" / "catalogue.yaml").write_text(CATALOGUE)


def _make_index(folder: Path) -> None:
    files = [{"path": "vae/config.json", "size": 10, "digest": "git:" + "0" * 40}]
    entry = {"repository": "a/b", "revision": "main", "pin": "main", "commit": "c" * 40, "files": files}
    index = {"version": 1, "installed": {"vae": entry, "hf:me/mine": entry}}
    manifest = {
        "name": "14b",
        "repository": "a/b",
        "commit": None,
        "precision": "nf4",
        "bitsandbytes": "1",
        "files": files,
    }
    copy = folder / "data" / "onetoall" / "converted" / "14b-nf4"
    copy.mkdir(parents=True)
    (copy / "onetoall.json").write_text(json.dumps({**manifest, "files": files}))
    (folder / "data" / "onetoall" / "index.json").write_text(json.dumps(index))


def _open_machine(folder: Path) -> None:
    from onetoall_cli.errors import OnetoallError
    from onetoall_cli.hub.catalogue import load_catalogue
    from onetoall_cli.hub.location import locate_model
    from onetoall_cli.hub.overview import overview
    from onetoall_cli.hub.verify import verify

    with _machine(folder):
        catalogue = load_catalogue()
        overview(catalogue)
        verify([])
        for name in [*list(catalogue.entries)[-2:], "14b-nf4"]:
            try:
                locate_model(name, catalogue=catalogue)
            except OnetoallError as error:
                assert "\x1b" not in str(error)


def _make_model(folder: Path) -> None:
    from untrained_model import build_untrained_model

    build_untrained_model(folder / "model")


def _open_model(folder: Path) -> None:
    import torch

    from onetoall_cli.hub.location import locate_folder
    from onetoall_cli.weights import PromptStore, load_network, load_vae

    with _machine(folder):
        location = locate_folder(folder / "model")
        load_network(location, torch.float32)
        load_vae(location.vae, torch.float32)
        for store in location.embeddings:
            for prompt in PromptStore(store).prompts():
                PromptStore(store).get(prompt)


def _make_published(folder: Path) -> None:
    from hub_models import network_files, write_files

    write_files(folder / "weights", network_files())


def _open_published(folder: Path) -> None:
    from hub_models import REDUCED

    from onetoall_cli.hub.weight_files import weight_files
    from onetoall_cli.model import CheckpointError, OneToAllTransformer3DModel
    from onetoall_cli.weights.architecture import architecture_of
    from onetoall_cli.weights.tensors import read_tensors

    architecture_of(read_tensors(weight_files(folder / "weights")), folder)
    try:
        OneToAllTransformer3DModel.from_published(folder / "weights", **REDUCED)
    except CheckpointError as error:
        assert len(str(error)) < 5000


def _make_store(folder: Path) -> None:
    import torch

    from onetoall_cli.weights import PromptStore

    PromptStore(folder / "p.safetensors", encoder="a/b@c").put_all({"": torch.ones(1, 8), "a dancer": torch.ones(3, 8)})


def _open_store(folder: Path) -> None:
    import torch

    from onetoall_cli.weights import PromptStore

    store = PromptStore(folder / "p.safetensors")
    for prompt in store.prompts():
        store.get(prompt)
    assert store.encoder is None or isinstance(store.encoder, str)
    store.put("new", torch.ones(2, 8))


def _make_lora(folder: Path) -> None:
    import torch
    from safetensors.torch import save_file

    name = "base_model.model.blocks.0.attn1.to_q"
    tensors = {f"{name}.lora_A.weight": torch.ones(2, 8), f"{name}.lora_B.weight": torch.ones(8, 2)}
    save_file(tensors, folder / "adapter_model.safetensors")
    config = {"lora_alpha": 4, "alpha_pattern": {"blocks.0": 2.0}, "use_rslora": False, "r": 2, "peft_type": "LORA"}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    header = {"lora_adapter_metadata": json.dumps({f"transformer.{key}": value for key, value in config.items()})}
    alpha = {f"{name.removeprefix('base_model.model.')}.alpha": torch.tensor(2.0)}
    save_file({**tensors, **alpha}, folder / "lora.safetensors", metadata=header)


def _open_lora(folder: Path) -> None:
    from onetoall_cli.sampling.lora_files import read_lora

    for file in sorted(folder.glob("*.safetensors")):
        read_lora(file)


def _make_arrays(folder: Path) -> None:
    points = np.random.default_rng(0).uniform(1, 30, (3, 1, 133, 3)).astype(np.float32)
    np.save(folder / "a.npy", points)
    np.savez(folder / "b.npz", dance=points, dance_size=np.array([32, 32]), fps=np.array(10.0))


def _make_poses(folder: Path) -> None:
    sequence = _pose()
    sequence.save(folder / "a.json")  # type: ignore[attr-defined]
    person = {"person_id": [-1], "pose_keypoints_2d": [10.0, 10.0, 0.9] * 18}
    frame = {"version": 1.3, "canvas_width": 32, "canvas_height": 32, "people": [person]}
    (folder / "b.json").write_text(json.dumps([frame, frame]))
    (folder / "frames").mkdir()
    for index in range(3):
        (folder / "frames" / f"{index}_keypoints.json").write_text(json.dumps(frame))


def _open_poses(folder: Path) -> None:
    from onetoall_cli.pose import PoseSequence

    for file in _files(folder):
        PoseSequence.load(file.parent if file.parent.name == "frames" else file)


def _make_pictures(folder: Path) -> None:
    import cv2
    from PIL import Image

    picture = Image.fromarray(np.arange(16 * 24 * 3, dtype=np.uint8).reshape(16, 24, 3))
    for suffix in ("png", "jpg", "webp", "gif", "bmp", "tif", "ppm", "tga", "jp2", "avif"):
        picture.save(folder / f"a.{suffix}")
    Image.fromarray((np.arange(16 * 24) * 170).astype(np.uint16).reshape(16, 24)).save(folder / "deep.png")
    cv2.imwrite(str(folder / "low.png"), (np.arange(16 * 24 * 3) % 256).astype(np.uint16).reshape(16, 24, 3))


def _open_pictures(folder: Path) -> None:
    from onetoall_cli.media import read_picture
    from onetoall_cli.media.pictures import picture_size

    for file in _files(folder):
        picture_size(file)
        read_picture(file)


def _make_videos(folder: Path) -> None:
    for name in ("a.mp4", "a.mkv", "a.webm", "a.gif", "a.webp", "a.apng"):
        _animate(folder, name)


def _open_videos(folder: Path) -> None:
    from onetoall_cli.media import open_video

    for file in _files(folder):
        video = open_video(file)
        for number, _ in enumerate(video):
            if number >= 5:
                break


def _make_unfinished(folder: Path) -> None:
    from onetoall_cli.files.names import folder_of

    unfinished = folder_of(folder / "out.mp4")
    unfinished.mkdir()
    inputs = {"reference": {"name": "a.png", "sha256": "0" * 64}}
    record = {**RECORD, "format": "onetoall-run", "inputs": inputs, "segments": 2, "weights": "x", "fed": "y"}
    (unfinished / "run.json").write_text(json.dumps(record))


def _open_unfinished(folder: Path) -> None:
    from onetoall_cli.animator.kept_segments import read_unfinished
    from onetoall_cli.animator.records import difference

    for each in folder.iterdir():
        kept = read_unfinished(each)
        if kept is not None:
            difference(kept.record, kept.record)


def _make_pairs(folder: Path) -> None:
    from onetoall_cli.media import write_picture

    for name in ("a.png", "b.png"):
        write_picture(folder / name, np.zeros((64, 64, 3), np.uint8))
    (folder / "pairs.csv").write_text("result,truth\na.png,b.png\nb.png,a.png\n")


def _open_pairs(folder: Path) -> None:
    from onetoall_cli.evaluation.pairs.pairing import open_pairs, read_pairs
    from onetoall_cli.evaluation.pairs.protocols import PROTOCOLS

    open_pairs(read_pairs(folder / "pairs.csv"), next(iter(PROTOCOLS.values())))


def _make_deepfashion(folder: Path) -> None:
    from onetoall_cli.evaluation.benchmarks.deepfashion import PAIRS, PICTURES, POINTS

    (folder / PICTURES).mkdir()
    for name in ("a.jpg", "b.jpg"):
        (folder / PICTURES / name).touch()
    (folder / PAIRS).write_text("from,to\na.jpg,b.jpg\nb.jpg,a.jpg\n")
    points = [[-1, *range(17)], [20 + 3 * point for point in range(18)]]
    (folder / POINTS).write_text("".join(f"{name}:{points[0]}:{points[1]}\n" for name in ("a.jpg", "b.jpg")))


def _open_deepfashion(folder: Path) -> None:
    from onetoall_cli.evaluation.benchmarks.deepfashion import clips_of_pairs

    clips_of_pairs(folder, folder / "poses")


def _make_study(folder: Path) -> None:
    pairs = {str(number): {"clip": f"clip {number}", "left": "ab"[number % 2]} for number in range(3)}
    key = {"format": "onetoall-study-key", "study": "0a", "question": "Which?", "a": "A", "b": "B", "pairs": pairs}
    answers = [
        {"pair": number, "choice": choice} for number, choice in zip("012", ("left", "equal", "right"), strict=True)
    ]
    said = {"format": "onetoall-study-answers", "study": "0a", "rater": "one", "answers": answers}
    (folder / "key.json").write_text(json.dumps(key))
    (folder / "answers.json").write_text(json.dumps(said))


def _open_study(folder: Path) -> None:
    from onetoall_cli.evaluation.pairs.study import tally, tally_as_text

    tally_as_text(tally(folder / "key.json", [folder / "answers.json"]))


def _make_answers_of_the_hub(folder: Path) -> None:
    large = {"type": "file", "path": "a/b.safetensors", "size": 9, "oid": "0" * 40, "lfs": {"oid": "1" * 64, "size": 9}}
    small = {"type": "file", "path": "config.json", "size": 3, "oid": "2" * 40}
    (folder / "revision.json").write_text(json.dumps({"sha": "c" * 40, "id": "a/b"}))
    (folder / "tree.json").write_text(json.dumps([{"type": "directory", "path": "a", "oid": "3" * 40}, large, small]))


def _open_answers_of_the_hub(folder: Path) -> None:
    from unittest.mock import patch

    from onetoall_cli.hub import remote

    def described(url: str) -> tuple[bytes, None]:
        return (folder / ("revision.json" if "/revision/" in url else "tree.json")).read_bytes(), None

    with patch.object(remote.web, "described", described):
        remote.list_repository("a/b", "main").matching(["*.json", "*/*"])


def _make_recipes(folder: Path) -> None:
    from onetoall_cli.training.runs import RECIPES

    for recipe in RECIPES.glob("*.yaml"):
        (folder / recipe.name).write_text(recipe.read_text(encoding="utf-8"), encoding="utf-8")


def _open_recipes(folder: Path) -> None:
    from onetoall_cli.training.runs import open_config

    for file in _files(folder):
        open_config(file)


def _make_run(folder: Path) -> None:
    import torch

    from onetoall_cli.training.checkpoints import Checkpoint, LossLog, save_checkpoint

    tensors = {"a.weight": torch.zeros(3, 2)}
    save_checkpoint(folder, Checkpoint(7, 2, tensors, tensors, {"a.weight/step": torch.tensor(1.0)}))
    LossLog(folder / "loss.csv", ("loss",), 0).add(0, loss=1.0)


def _open_run(folder: Path) -> None:
    from onetoall_cli.training.checkpoints import LossLog, latest_checkpoint, load_checkpoint

    newest = latest_checkpoint(folder)
    if newest is not None:
        load_checkpoint(newest)
    LossLog(folder / "loss.csv", ("loss",), 1)


def _make_training_data(folder: Path) -> None:
    (folder / "pairs.csv").write_text("from,to,caption\na.png,b.png,a man\n", encoding="utf-8")
    for name in ("a.png", "b.png"):
        (folder / name).write_bytes(b"")
    (folder / "clip.cuts.json").write_text('{"cuts": [0.5, 1.25]}', encoding="utf-8")


def _open_training_data(folder: Path) -> None:
    from onetoall_cli.training.picture_pairs import read_pairs
    from onetoall_cli.training.videos import read_cuts

    read_pairs(folder / "pairs.csv")
    read_cuts(folder / "clip.cuts.json")


WAN = {"num_attention_heads": 1, "attention_head_dim": 12, "text_dim": 4, "freq_dim": 4, "ffn_dim": 4, "num_layers": 2}


def _make_wan(folder: Path) -> None:
    from diffusers import WanTransformer3DModel

    WanTransformer3DModel(**WAN).save_pretrained(folder)


def _open_wan(folder: Path) -> None:
    from onetoall_cli.training.initial import build_network, find_start
    from onetoall_cli.training.recipe import NetworkSettings

    model = NetworkSettings(**WAN, num_reference_layers=1, num_pose_layers=1)
    build_network(model, find_start(str(folder)), 0)


_ROWS = [
    {
        "command": "animate",
        "reference": "a.png",
        "driving": "d.mp4",
        "seed": 8,
        "steps": 2,
        "lora": ["style.safetensors:0.5"],
    },
    {"command": "transfer", "reference": "a.png", "pose": "p.json", "pose_frame": 3, "output": "out/x.png"},
]


def _make_manifests(folder: Path) -> None:
    (folder / "jobs.yaml").write_text(f"defaults: {{model: tiny, short_side: 32}}\njobs: {json.dumps(_ROWS)}\n")
    (folder / "jobs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in _ROWS))
    (folder / "jobs.csv").write_text("command,reference,driving,seed,audio\nanimate,a.png,d.mp4,8,false\n")


def _open_manifests(folder: Path) -> None:
    from onetoall_cli.batch import faults_of, rows_of_manifest
    from onetoall_cli.cli.batch_rows import tasks_of

    for file in _files(folder):
        rows, defaults = rows_of_manifest(file)
        tasks, _ = tasks_of(rows, defaults, source=file.name, base=folder, folder=folder / "out")
        faults_of(tasks, overwrite=True)


def _make_journal(folder: Path) -> None:
    from onetoall_cli.batch.journal import Failed, Journal
    from onetoall_cli.batch.leases import Leases

    failed = Failed(key="a", output="o", seconds=1, error="It broke.", advice="", arguments=("animate",))
    with Journal.open(folder / "journal.jsonl") as journal:
        journal.add(failed)
    leases = Leases(folder / "journal.jsonl")
    leases.open()
    for key in "ab":
        lease = leases.take(key)
        assert lease is not None
        lease.tell(note="It begins.", steps=(1, 2))
        lease.end(failed) if key == "a" else lease.give_back(tried=True)


def _open_journal(folder: Path) -> None:
    from onetoall_cli.batch import Journal
    from onetoall_cli.batch.leases import Leases

    Journal(folder / "journal.jsonl")
    leases = Leases(folder / "journal.jsonl")
    assert all(said.owner for said in leases.all().values())
    for key in "ab":
        leases.take(key)


def _make_pose_cache(folder: Path) -> None:
    from onetoall_cli.animator.pose_cache import keep_poses

    with _machine(folder):
        keep_poses("kept", _pose())  # type: ignore[arg-type]


def _open_pose_cache(folder: Path) -> None:
    from onetoall_cli.animator.pose_cache import kept_poses

    with _machine(folder):
        kept_poses("kept")


def _files(folder: Path) -> list[Path]:
    """The one damaged file, which the runner leaves alone in a folder of independent files."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


DOORS: dict[str, Door] = {
    "info": Door(
        _make_outputs,
        _open_records,
        ("media.metadata:parse_metadata",),
        quick=200,
    ),
    "aligned folder": Door(
        _make_aligned,
        _open_aligned,
        ("alignment.conditioning:Conditioning.load", "files.contents:_read_list"),
        quick=200,
        damaged=("meta.json", "meta.json", "meta.json", "*"),
    ),
    "catalogue": Door(_make_catalogue, _open_machine, ("hub.catalogue:_with_file",), quick=250),
    "index": Door(_make_index, _open_machine, ("hub.index:installed", "hub.quantised_copies:manifest_of"), quick=200),
    "model folder": Door(
        _make_model,
        _open_model,
        (
            "hub.defaults:GenerationDefaults.load",
            "hub.location:_network_folder",
            "animator.plans:make_plan",
            "weights.network:empty_network",
            "weights.loading:load_vae",
            "weights.quantise:_precision_in",
            "weights.tensors:_read_header",
            "weights.tensors:StoredTensors.take",
            "hub.model_files:read_model_file",
        ),
        quick=60,
        damaged=("*.json", "*.json", "*"),
    ),
    "published weights": Door(
        _make_published,
        _open_published,
        (
            "files.weight_index:indexed_files",
            "hub.weight_files:weight_files",
            "model.published:_shards",
            "model.published:_opened",
        ),
        quick=60,
        damaged=("*.json", "*"),
    ),
    "prompt store": Door(
        _make_store,
        _open_store,
        ("weights.prompt_store:PromptStore._open", "weights.prompt_store:PromptStore._header"),
        quick=150,
        damaged=("*.safetensors",),
    ),
    "LoRA": Door(
        _make_lora,
        _open_lora,
        ("sampling.lora_files:_stated_alphas", "sampling.lora_files:_opened"),
        quick=200,
    ),
    "recipes": Door(_make_recipes, _open_recipes, ("training.settings:read_yaml",), quick=150),
    "training checkpoints": Door(
        _make_run,
        _open_run,
        (
            "training.checkpoints:_read_state",
            "training.checkpoints:_read_part",
            "training.checkpoints:LossLog._rows",
        ),
        quick=100,
        damaged=("*.json", "*.csv", "*.safetensors"),
    ),
    "training data": Door(
        _make_training_data,
        _open_training_data,
        ("training.picture_pairs:_pairs_in_list", "training.videos:read_cuts"),
        quick=60,
        damaged=("*.csv", "*.json"),
    ),
    "Wan weights": Door(
        _make_wan, _open_wan, ("training.initial:_class_of", "training.initial:_read_weights"), quick=30
    ),
    "arrays": Door(_make_arrays, _open_poses, ("pose.arrays:read_array",), quick=200),
    "poses": Door(_make_poses, _open_poses, ("pose.formats:_read_json",), quick=150),
    "pictures": Door(
        _make_pictures,
        _open_pictures,
        ("media.pictures:_header", "media.deep_colour:restore_low_bytes"),
        quick=150,
    ),
    "videos": Door(
        _make_videos,
        _open_videos,
        ("media.containers:open_container", "media.stills:_gif_durations"),
        quick=60,
    ),
    "list of pairs": Door(
        _make_pairs, _open_pairs, ("evaluation.pairs.pairing:read_pairs",), quick=100, damaged=("*.csv",)
    ),
    "DeepFashion": Door(
        _make_deepfashion,
        _open_deepfashion,
        ("evaluation.benchmarks.deepfashion:_read_rows", "evaluation.benchmarks.deepfashion:_pose"),
        quick=100,
        damaged=("*.csv",),
    ),
    "study": Door(_make_study, _open_study, ("evaluation.pairs.study:tally",), quick=100),
    "hub's answers": Door(_make_answers_of_the_hub, _open_answers_of_the_hub, ("hub.remote:_ask",), quick=150),
    "manifest": Door(
        _make_manifests,
        _open_manifests,
        (
            "batch.manifest:_yaml_rows",
            "batch.manifest:_json_rows",
            "batch.manifest:_csv_rows",
            "cli.batch_rows:_from_text",
        ),
        quick=100,
    ),
    "journal": Door(
        _make_journal,
        _open_journal,
        ("batch.journal:_events", "batch.leases:Leases._look"),
        60,
        ("*.jsonl", "*.0", "*.0"),
    ),
    "pose cache": Door(
        _make_pose_cache, _open_pose_cache, ("animator.pose_cache:kept_poses",), quick=60, damaged=("*.safetensors",)
    ),
    "unfinished run": Door(
        _make_unfinished,
        _open_unfinished,
        ("animator.kept_segments:_read_record",),
        quick=120,
    ),
}
