"""Small repositories with the real layout and the real names: what the released ones look like, at a few megabytes."""

import json
import tempfile
from functools import cache
from pathlib import Path

import torch
from golden_recipe import recipe_tensor
from safetensors.torch import save

# A reduced network: the released names and structure, few and narrow blocks.
REDUCED = {
    "num_attention_heads": 1,
    "attention_head_dim": 128,
    "ffn_dim": 64,
    "text_dim": 32,
    "num_layers": 2,
    "num_reference_layers": 1,
    "num_pose_layers": 1,
}

NETWORK_REPOSITORY = "MochunniaN1/One-to-All-1.3b_2"
WAN_REPOSITORY = "Wan-AI/Wan2.1-T2V-1.3B-Diffusers"
POSE_REPOSITORY = "Wan-AI/Wan2.2-Animate-14B"
DWPOSE_REPOSITORY = "FrancisRing/StableAnimator"

# The package's catalogue expects the released sizes and a pinned commit; this one the repositories below.
CATALOGUE = f"""
entries:
  1.3b:
    kind: model
    title: reduced
    repository: {NETWORK_REPOSITORY}
    files: ["*.safetensors", "*.safetensors.index.json"]
    needs: [vae, text-encoder]
    parameters: 1_000_000
    defaults: {{short_side: 64, max_text_tokens: 16}}
  vae:
    kind: vae
    title: small VAE
    repository: {WAN_REPOSITORY}
    files: ["vae/*.json", "vae/*.safetensors", "scheduler/*.json"]
  text-encoder:
    kind: text-encoder
    title: small UMT5
    repository: {WAN_REPOSITORY}
    files: ["text_encoder/*.json", "text_encoder/*.safetensors", "tokenizer/*.json", "tokenizer/*.model"]
"""


@cache
def published_tensors() -> dict[str, torch.Tensor]:
    """The reduced network's weights under the released names."""
    from onetoall_cli.model import OneToAllTransformer3DModel

    with torch.device("meta"):
        network = OneToAllTransformer3DModel(**REDUCED)
    mapping = network.published_key_mapping().to_published
    return {mapping[own]: recipe_tensor(mapping[own], value.shape) for own, value in network.state_dict().items()}


@cache
def network_files(shards: int = 2, *, index: bool = True, dtype: torch.dtype = torch.float32) -> dict[str, bytes]:
    """A released repository: bare safetensors at its root, sharded, with or without an index."""
    tensors = {name: value.to(dtype) for name, value in published_tensors().items()}
    names = sorted(tensors)
    parts = [names[start::shards] for start in range(shards)]
    files, where = {}, {}
    for number, part in enumerate(parts, start=1):
        file = f"model-{number:05d}-of-{shards:05d}.safetensors"
        files[file] = save({name: tensors[name] for name in part}, metadata={"format": "pt"})
        where.update(dict.fromkeys(part, file))
    if index:
        content = {"metadata": {"total_size": sum(map(len, files.values()))}, "weight_map": where}
        files["model.safetensors.index.json"] = json.dumps(content).encode()
    return {**files, "README.md": b"# One-to-All", "pipeline.bin": b"never fetched" * 300}


@cache
def wan_files() -> dict[str, bytes]:
    """Wan's repository: VAE, scheduler, text encoder, tokenizer, and the transformer that must not be fetched."""
    from diffusers import AutoencoderKLWan
    from transformers import UMT5Config, UMT5EncoderModel

    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        config = json.loads((Path(__file__).parent / "data" / "vae_tiny_config.json").read_text())
        AutoencoderKLWan(**config).save_pretrained(root / "vae")
        encoder = UMT5EncoderModel(
            UMT5Config(vocab_size=64, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4, dropout_rate=0.0)
        )
        encoder.save_pretrained(root / "text_encoder", max_shard_size="60KB")
        small_tokenizer().save_pretrained(root / "tokenizer")
        files = {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    scheduler = {"_class_name": "UniPCMultistepScheduler", "flow_shift": 3.0}
    return files | {
        "scheduler/scheduler_config.json": json.dumps(scheduler).encode(),
        "transformer/diffusion_pytorch_model.safetensors": bytes(50_000),
        "transformer/config.json": b'{"_class_name": "WanTransformer3DModel"}',
        "model_index.json": b'{"transformer": ["diffusers", "WanTransformer3DModel"]}',
    }


def small_tokenizer():
    """A unigram tokenizer with T5's special tokens and an end token after every text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    pieces += [(letter, -3.0) for letter in "abcdefghijklmnopqrstuvwxyz,.ABC"]
    pieces += [("▁black", -4.0), ("▁background", -4.0), ("▁view", -4.0)]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=2))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")


def onnx_model(inputs: dict[str, list], outputs: dict[str, list], external: Path | None = None) -> bytes:
    """A graph with the given input and output names and shapes that answers with zeros plus a tiny weight."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes, weights = [], []
    for name, shape in outputs.items():
        fixed = [1 if isinstance(side, str) else side for side in shape]
        weights += [numpy_helper.from_array(np.array(fixed, dtype=np.int64), f"{name}.shape")]
        weights += [numpy_helper.from_array(np.full(300, 0.5, dtype=np.float32), f"{name}.weight")]
        zero = numpy_helper.from_array(np.zeros(1, dtype=np.float32), "value")
        nodes.append(helper.make_node("ConstantOfShape", [f"{name}.shape"], [f"{name}.zeros"], value=zero))
        nodes.append(helper.make_node("ReduceMax", [f"{name}.weight"], [f"{name}.one"], keepdims=0))
        nodes.append(helper.make_node("Add", [f"{name}.zeros", f"{name}.one"], [name]))
    values = {**inputs, **outputs}
    described = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in values.items()}
    graph = helper.make_graph(
        nodes, "small", [described[name] for name in inputs], [described[name] for name in outputs], weights
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    if external is None:
        return model.SerializeToString()
    onnx.save_model(model, external, save_as_external_data=True, all_tensors_to_one_file=False, size_threshold=1000)
    return external.read_bytes()


@cache
def pose_files() -> dict[str, bytes]:
    """YOLOv10m in one file, ViTPose-H as a folder with external weights, as published."""
    root = "process_checkpoint"
    files = {
        f"{root}/det/yolov10m.onnx": onnx_model({"images": [1, 3, 640, 640]}, {"output0": [1, 300, 6]}),
        f"{root}/sam2/sam2_hiera_large.pt": bytes(30_000),  # not ours to fetch
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "end2end.onnx"
        onnx_model({"input": ["N", 3, 256, 192]}, {"output": [1, 133, 64, 48]}, external=path)
        for file in Path(folder).iterdir():
            files[f"{root}/pose2d/vitpose_h_wholebody.onnx/{file.name}"] = file.read_bytes()
    return files


@cache
def dwpose_files() -> dict[str, bytes]:
    simcc = {"simcc_x": [1, 133, 576], "simcc_y": [1, 133, 768]}
    return {
        "DWPose/yolox_l.onnx": onnx_model({"images": [1, 3, 640, 640]}, {"output": [1, 8400, 85]}),
        "DWPose/dw-ll_ucoco_384.onnx": onnx_model({"input": ["N", 3, 384, 288]}, simcc),
    }


def save_diffusers_model(folder: Path) -> None:
    """A whole model in diffusers' layout: what `--model DIR` takes."""
    from onetoall_cli.model import OneToAllTransformer3DModel

    network = OneToAllTransformer3DModel.from_published(dict(published_tensors()), **REDUCED)
    network.save_pretrained(folder / "transformer", max_shard_size="1MB")
    for name, content in wan_files().items():
        if name.split("/")[0] in ("vae", "scheduler", "text_encoder", "tokenizer"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
    index = {"_class_name": "OneToAllPipeline", "transformer": ["onetoall_cli.model", "OneToAllTransformer3DModel"]}
    (folder / "model_index.json").write_text(json.dumps(index))


def folder_files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def write_files(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder
