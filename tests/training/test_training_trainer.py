"""The trainer: all three stages in a row, exact continuation even after kill -9, and what a batch hands the network."""

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from torch.distributed.tensor import DTensor

from onetoall_cli.errors import BadInput
from onetoall_cli.model import OneToAllTransformer3DModel
from onetoall_cli.puppets import sample_other_motion, sample_scene
from onetoall_cli.training.board import Board
from onetoall_cli.training.examples import Batches, moved, zoomed
from onetoall_cli.training.latents import LatentCache
from onetoall_cli.training.recipe import DataSettings, NetworkSettings, TrainingSettings
from onetoall_cli.training.settings import dump_settings
from onetoall_cli.training.sources import PuppetSource, Window
from onetoall_cli.training.stages import STAGES, trained_names
from onetoall_cli.training.trainer import Trainer, train
from onetoall_cli.weights import PromptStore


@pytest.fixture
def settings(tmp_path, micro_settings) -> TrainingSettings:
    return micro_settings(
        output=tmp_path / "run",
        stage=3,
        steps=4,
        lr=1e-3,
        warmup=2,
        checkpoint_every=2,
        data=DataSettings(clips=3),
    )


def figures(run: Path) -> list[str]:
    """The log without the seconds, which no run repeats."""
    return [row.rsplit(",", 1)[0] for row in (run / "loss.csv").read_text().splitlines()]


def test_each_stage_starts_from_the_one_before_and_trains_only_its_own(settings, tmp_path, micro_network) -> None:
    previous = None
    for stage in (1, 2, 3):
        everything_given = {"drop_both": 0.0, "drop_reference": 0.0, "drop_pose": 1.0 if stage == 1 else 0.0}
        run = settings.changed(
            stage=stage,
            output=tmp_path / f"stage{stage}",
            steps=2,
            init_from=previous and str(previous),
            model=None if previous else NetworkSettings(**micro_network),
            conditions=everything_given,
        )
        before = Trainer(run).plain_network.state_dict() if previous else None
        after = OneToAllTransformer3DModel.from_pretrained(train(run))
        if before is not None:
            changed = {name for name, value in after.state_dict().items() if not torch.equal(value, before[name])}
            assert changed <= set(trained_names(after, STAGES[stage]))
            assert any(name.startswith("pose_refiner.projections") for name in changed)
        assert len(figures(run.output)) == 3
        previous = run.output


@pytest.mark.parametrize(("optimiser", "echo"), [("adamw", 1), ("muon", 1), ("adamw", 3)])
def test_a_continued_run_repeats_the_uninterrupted_one(settings, tmp_path, optimiser, echo) -> None:
    whole = settings.changed(optimiser=optimiser, echo=echo)
    broken = whole.changed(output=tmp_path / "broken")
    first = train(whole)

    class Interrupted(Exception):
        pass

    def stop(step: int, total: int | None) -> None:
        if step == 3:
            raise Interrupted

    with pytest.raises(Interrupted):
        train(broken, stop)
    second = train(broken)
    assert figures(whole.output) == figures(broken.output)
    assert len(figures(whole.output)) == 5
    a, b = (OneToAllTransformer3DModel.from_pretrained(folder).state_dict() for folder in (first, second))
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_echoes_share_what_is_drawn_and_encoded_but_not_the_noise(settings) -> None:
    conditions = {"trained": ["(?!pose_encoder)"], "drop_both": 0.0, "drop_reference": 0.0, "drop_pose": 0.0}
    trainer = Trainer(settings.changed(echo=2, conditions=conditions))
    seen = []
    trainer.plain_network.pose_encoder.conv_in.register_forward_hook(lambda *_: seen.append(1))
    steps = list(trainer._batches())
    assert [number for number, _ in steps] == [0, 1, 2, 3]
    inputs = [each for _, each in steps]
    assert inputs[0] is inputs[1] and inputs[2] is inputs[3] and inputs[1] is not inputs[2]
    losses = [trainer.loss(each, number).item() for number, each in steps]
    assert len(set(losses)) == 4
    assert len(seen) == 4  # motion and reference, once for two steps
    assert trainer.loss(inputs[0], 0).item() == losses[0]


@pytest.mark.slow
def test_a_killed_run_continues_exactly(settings, tmp_path) -> None:
    run = settings.changed(steps=30, checkpoint_every=5)
    train(run)
    killed = run.changed(output=tmp_path / "killed")
    (tmp_path / "config.yaml").write_text(dump_settings(killed))
    program = (
        "import sys; from onetoall_cli.training.settings import load_settings; "
        "from onetoall_cli.training.recipe import TrainingSettings; from onetoall_cli.training.trainer import train; "
        f"train(load_settings(TrainingSettings, {str(tmp_path / 'config.yaml')!r}))"
    )
    process = subprocess.Popen([sys.executable, "-c", program], start_new_session=True)
    log = killed.output / "loss.csv"
    while process.poll() is None and not (log.exists() and len(log.read_text().splitlines()) > 12):
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (killed.output / "network").exists()
    train(killed)
    assert figures(run.output) == figures(killed.output)


def test_a_batch_does_not_depend_on_the_cache(settings) -> None:
    """Otherwise a continued run, which finds more in the cache, would draw other conditions."""
    cache = LatentCache(settings.cache, settings.vae)
    source = PuppetSource(clips=3, cache=cache)
    run = settings.changed(video_share=1.0, conditions={"zoom": 0.4})
    trainer = Trainer(run)
    cold = [Batches(run, source)[number] for number in range(8)]
    losses = [trainer.loss(trainer.encoded(batch), number).item() for number, batch in enumerate(cold)]
    warm = [Batches(run, source)[number] for number in range(8)]
    assert [trainer.loss(trainer.encoded(batch), number).item() for number, batch in enumerate(warm)] == losses
    assert any(batch.latents[0] is not None for batch in warm)
    for first, second in zip(cold, warm, strict=True):
        assert torch.equal(first.reference, second.reference) and torch.equal(first.mask, second.mask)
        assert first.plan == second.plan and torch.equal(first.weights, second.weights)
        if first.pose is not None:
            assert second.pose is not None and torch.equal(first.pose, second.pose)


def test_the_network_sees_a_masked_reference_and_no_pose_where_it_is_dropped(settings) -> None:
    source = PuppetSource()
    for dropped, has_pose in (("drop_pose", False), ("drop_both", False), ("drop_reference", True)):
        given = {"drop_pose": 0.0, "drop_both": 0.0, "drop_reference": 0.0, "hole": 0.0}
        conditions = {**given, dropped: 1.0, "mask": 1.0}
        batch = Batches(settings.changed(conditions=conditions), source)[0]
        assert (batch.pose is not None) == has_pose == (batch.reference_pose is not None)
        unknown = batch.mask[:, :, 0]
        assert unknown.any() == batch.plan.has_reference  # a reference that is not given needs no mask
        assert (batch.reference[unknown] == 0).all()
        if batch.reference_pose is not None:
            assert (batch.reference_pose[unknown] == 0).all()


def test_the_reference_is_another_frame_unless_the_stage_wants_the_first(settings) -> None:
    source = PuppetSource()
    same = source.clip(4, Window(32, 48, 5, first_frame=True), np.random.default_rng(0))
    assert np.array_equal(same.reference, same.frames[0])
    np.testing.assert_array_equal(same.reference_pose.keypoints[0], same.motion.keypoints[0])
    other = source.clip(4, Window(32, 48, 5), np.random.default_rng(0))
    assert not any(np.array_equal(other.reference, frame) for frame in other.frames)


def test_references_are_from_near_and_from_far() -> None:
    """Of a long recording most frames are far from a window; a puppet's are its dance and another one."""
    scene = sample_scene("train", 4, width=32, height=48, frames=5 + 16)
    dance = scene.film().poses.keypoints[:, 0]
    other = replace(scene, motion=sample_other_motion("train", 4, frames=48)).film().poses.keypoints[:, 0]
    near = far = 0
    for seed in range(24):
        clip = PuppetSource().clip(4, Window(32, 48, 5), np.random.default_rng(seed))
        shown = clip.reference_pose.keypoints[0, 0, :, :2]
        near += any(np.allclose(shown, frame[:, :2]) for frame in [*dance[:8], *dance[-8:]])
        far += any(np.allclose(shown, frame[:, :2]) for frame in other)
    assert near >= 3 and far >= 12 and near + far == 24


@pytest.mark.parametrize("side", ["reference", "clip"])
def test_zooming_enlarges_one_side_and_moves_its_keypoints_alike(side) -> None:
    clip = PuppetSource().clip(8, Window(128, 192, 1, first_frame=True), np.random.default_rng(0))
    x, y = 60, 70
    picture, points = clip.reference.copy(), clip.reference_pose.keypoints.copy()
    picture[y, x] = (255, 0, 255)
    points[0, 0, 0] = (x + 0.5, y + 0.5, 1.0)
    pose = replace(clip.reference_pose, keypoints=points)
    marked = replace(clip, reference=picture, frames=picture[None], reference_pose=pose, motion=pose, key="k")
    near = zoomed(marked, side, 1.2)
    assert near.frames is not None
    pictures = {"reference": (near.reference, near.reference_pose), "clip": (near.frames[0], near.motion)}
    kept, kept_pose = pictures["clip" if side == "reference" else "reference"]
    assert np.array_equal(kept, picture) and np.array_equal(kept_pose.keypoints, points)
    assert near.key == ("k" if side == "reference" else None)  # an enlarged window is not that of the cache
    shown, moved_pose = pictures[side]
    place = moved_pose.keypoints[0, 0, 0]
    assert place[:2] == pytest.approx(((x + 0.5 - 64) * 1.2 + 64, (y + 0.5 - 96) * 1.2 + 96))
    likeness = (shown.astype(int) - (255, 0, 255)).__abs__().sum(axis=2)
    found = np.unravel_index(likeness.argmin(), likeness.shape)
    assert abs(found[1] + 0.5 - place[0]) <= 1 and abs(found[0] + 0.5 - place[1]) <= 1


def test_keypoints_moved_out_of_the_picture_are_not_seen() -> None:
    poses = PuppetSource().clip(1, Window(32, 48, 1, first_frame=True), np.random.default_rng(0)).motion
    assert (moved(poses, 1.0, (100.0, 0.0)).keypoints[..., 2] == 0).all()


def test_real_motions_can_be_performed(tmp_path) -> None:
    from onetoall_cli.pose import PoseSequence
    from onetoall_cli.training.sources import load_motions

    path = Path(__file__).parents[1] / "data" / "poses_real.npz"
    with np.load(path) as data:
        width, height = data["dance_full_size"]
        PoseSequence(data["dance_full"][:, None], int(width), int(height), 16.0).save(tmp_path / "dance.json")
    source = PuppetSource(motions=load_motions(tmp_path), motion_share=1.0)
    clip = source.clip(2, Window(64, 96, 13), np.random.default_rng(0))
    assert clip.frames.shape == (13, 96, 64, 3)
    assert np.abs(np.diff(clip.motion.keypoints[:, 0, :17, 0], axis=0)).max() > 0.2
    with pytest.raises(BadInput, match="no pose files"):
        load_motions(tmp_path / "..")


def test_mistakes_of_the_user_are_named(settings, tmp_path) -> None:
    train(settings.changed(steps=2))
    with pytest.raises(BadInput, match="trains other parameters"):
        train(settings.changed(stage=1))
    with pytest.raises(BadInput, match="another optimiser"):
        train(settings.changed(optimiser="muon"))
    with pytest.raises(BadInput, match="beyond"):
        train(settings.changed(steps=1))
    with pytest.raises(BadInput, match="empty prompt"):
        train(settings.changed(output=tmp_path / "other", prompt_embeds=tmp_path / "none.safetensors"))
    store = PromptStore(tmp_path / "prompts.safetensors")
    store.put("", torch.ones(2, 5))
    with pytest.raises(BadInput, match="5 channels"):
        train(settings.changed(output=tmp_path / "other", prompt_embeds=store.path))


def test_muon_moves_the_matrices_of_the_blocks_and_adamw_the_rest(settings) -> None:
    trainer = Trainer(settings.changed(optimiser="muon", train="all"))
    names = {parameter: name for name, parameter in trainer.plain_network.named_parameters()}
    muon, adamw = ([names[p] for group in each.param_groups for p in group["params"]] for each in trainer.optimisers)
    assert sorted(muon + adamw) == sorted(names.values())
    assert "blocks.0.self_attention.to_q.weight" in muon and "reference_extractor.blocks.0.ffn.net.2.weight" in muon
    assert all("blocks." in name and name.endswith(".weight") for name in muon)
    assert {"patch_embedding.weight", "pose_encoder.conv_in.weight"} <= set(adamw)


def test_sample_sheets_are_written_and_leave_the_weights_alone(settings) -> None:
    run = settings.changed(steps=1, sample_every=1, sample_count=2, sample_steps=1, sample_frames=5)
    without = run.changed(output=run.output.parent / "without", sample_every=0)
    first, second = (OneToAllTransformer3DModel.from_pretrained(train(each)).state_dict() for each in (run, without))
    assert all(torch.equal(first[name], second[name]) for name in first)
    from PIL import Image

    sheet = Image.open(run.output / "samples" / "step-0000001.png")
    assert sheet.size == (32 * 10, 48 * 2)


def test_gradient_checkpointing_and_accumulation_train_too(settings) -> None:
    run = settings.changed(steps=1, accumulate=2, gradient_checkpointing=True, bf16=True, train="all")
    network = OneToAllTransformer3DModel.from_pretrained(train(run))
    fresh = OneToAllTransformer3DModel(**run.model.model_dump())
    assert set(network.state_dict()) == set(fresh.state_dict())
    assert len(figures(run.output)) == 2


def test_an_ablation_can_leave_out_the_references_pose(settings) -> None:
    given = {"drop_pose": 0.0, "drop_both": 0.0, "drop_reference": 0.0, "mask": 0.0}
    with_it, without = (
        Batches(settings.changed(conditions={**given, "reference_pose": shown}), PuppetSource())[0]
        for shown in (True, False)
    )
    assert with_it.reference_pose is not None and with_it.reference_pose.any()
    assert without.reference_pose is not None and not without.reference_pose.any()
    assert torch.equal(with_it.pose, without.pose) and torch.equal(with_it.reference, without.reference)


def test_the_loss_on_what_is_held_out_is_that_of_the_average_and_repeats_itself(settings) -> None:
    trainer = Trainer(settings.changed(validate_every=2, validate_batches=1, ema=0.5, video_share=0.0))
    assert trainer.held_out.split == "validation" and trainer.source.split == "train"
    first = trainer.validation_loss()
    with torch.no_grad():
        for parameter in trainer.plain_network.parameters():
            parameter.mul_(1.5 if parameter.requires_grad else 1)  # the average stays
    moved = {name: value.clone() for name, value in trainer.plain_network.state_dict().items()}
    assert trainer.validation_loss() == first and trainer.plain_network.training
    assert all(torch.equal(moved[name], value) for name, value in trainer.plain_network.state_dict().items())
    for value in trainer.average.values.values():
        value.mul_(1.5)
    assert trainer.validation_loss() != first


def test_figures_go_to_tensorboard_if_it_is_there(tmp_path, monkeypatch) -> None:
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "tensorboard", None)
        without.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
        with pytest.raises(BadInput, match="package tensorboard"):
            Board(tmp_path, 0)
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = Board(tmp_path, 3)
    board.add(3, loss=0.5, validation=None)
    board.close()
    read = EventAccumulator(str(tmp_path)).Reload()
    assert read.Tags()["scalars"] == ["loss"] and (read.Scalars("loss")[0].step, read.Scalars("loss")[0].value) == (
        3,
        0.5,
    )


def test_a_network_that_accelerate_shards_is_refused(settings, monkeypatch) -> None:
    monkeypatch.setattr(Accelerator, "distributed_type", DistributedType.DEEPSPEED)
    with pytest.raises(BadInput, match="shard the network by itself"):
        Trainer(settings)


@pytest.fixture
def process_group():
    """This process as a group of one, so that a network can be sharded in it."""
    torch.distributed.init_process_group("gloo", rank=0, world_size=1, store=torch.distributed.HashStore())
    yield
    torch.distributed.destroy_process_group()


def test_a_sharded_run_is_the_same_and_continues_unsharded(settings, tmp_path, process_group) -> None:
    # Layers of a pose that is not given rest in a whole network, and get gradients of zero in a sharded one.
    given = {"drop_both": 0.0, "drop_pose": 0.0}
    small = {"steps": 3, "video_share": 0.0, "validate_every": 2, "validate_batches": 1}
    whole = settings.changed(ema=0.9, conditions=given, **small)
    sharded = whole.changed(output=tmp_path / "sharded", shard=True)
    trainer = Trainer(sharded.changed(steps=2))
    assert all(isinstance(each, DTensor) for each in trainer.plain_network.parameters())
    trainer.run()
    other = tmp_path / "other"
    shutil.copytree(sharded.output, other)
    folders = [train(run) for run in (whole, sharded, sharded.changed(output=other, shard=False))]
    assert figures(whole.output) == figures(sharded.output) == figures(other)
    states = [OneToAllTransformer3DModel.from_pretrained(folder).state_dict() for folder in folders]
    # The norm of the gradient is summed in another order, which AdamW magnifies where gradients are next to nothing.
    assert all(torch.allclose(states[0][name], each[name], atol=1e-4) for each in states[1:] for name in each)


def launch(run: TrainingSettings, folder: Path, processes: int = 2) -> subprocess.Popen:
    """Start a run in several processes."""
    config = folder / f"{run.output.name}-{run.steps}.yaml"
    config.write_text(dump_settings(run))
    program = folder / "train.py"
    program.write_text("import sys\nfrom onetoall_cli.training.runs import run_config\nrun_config(sys.argv[1])\n")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([*command, str(program), str(config)], env=environment, start_new_session=True)


@pytest.mark.slow
@pytest.mark.parametrize("shard", [False, True])
def test_two_processes_train_together_and_continue_exactly_when_killed(settings, tmp_path, shard) -> None:
    run = settings.changed(shard=shard, steps=8, ema=0.9, validate_every=4, validate_batches=2)
    assert launch(run, tmp_path).wait() == 0
    whole = figures(run.output)
    assert [row.split(",")[0] for row in whole] == ["step", *map(str, range(8))]
    killed = run.changed(output=tmp_path / "killed")
    process, log = launch(killed, tmp_path), killed.output / "loss.csv"
    while process.poll() is None and not (log.exists() and len(log.read_text().splitlines()) > 5):
        time.sleep(0.02)
    for each in (*psutil.Process(process.pid).children(recursive=True), process):
        each.kill()
    process.wait()
    assert not (killed.output / "network").exists() and (killed.output / "checkpoints").exists()
    assert launch(killed, tmp_path).wait() == 0
    assert figures(killed.output) == whole
    assert (killed.output / "network" / "config.json").is_file()


def test_a_vae_is_trained_by_one_of_several_processes(tmp_path, monkeypatch) -> None:
    """Each would write the same folder."""
    from onetoall_cli.training import runs
    from onetoall_cli.training.vae_data import Phase, VaeSettings

    settings = VaeSettings(output=tmp_path / "vae", phases=(Phase(steps=1, batch=1),))
    waited: list[Path] = []
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr(runs, "_waited_for", lambda folder: waited.append(folder) or folder)
    assert runs._train(settings, None, None, None) == tmp_path / "vae" / "vae"
    assert waited and not (tmp_path / "vae").exists()
