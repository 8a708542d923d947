"""The stages' table: what is trained by name, and how often each condition is drawn."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from onetoall_cli.errors import BadInput
from onetoall_cli.model import OneToAllTransformer3DModel
from onetoall_cli.training.recipe import (
    DataSettings,
    NetworkSettings,
    Resolution,
    TrainingSettings,
    draw_frames,
    nearest_aspect,
    own_rate,
    plan_batch,
)
from onetoall_cli.training.settings import dump_settings, load_settings
from onetoall_cli.training.stages import STAGES, freeze_but, trained_names


@pytest.fixture(scope="module")
def network(micro_network) -> OneToAllTransformer3DModel:
    return OneToAllTransformer3DModel(**micro_network)


def settings(stage: int = 2, **options) -> TrainingSettings:
    required = {"output": Path("run"), "stage": stage, "vae": Path("vae"), "steps": 10, "model": NetworkSettings()}
    return TrainingSettings(**{**required, **options})


def test_stage_1_trains_extractor_and_reference_attention_only(network) -> None:
    published = network.published_key_mapping().to_published
    names = {published[name] for name in trained_names(network, STAGES[1])}
    parts = ("refextractor.", ".attn1.add_k_proj.", ".attn1.add_v_proj.", ".attn1.norm_added_k.", ".attn1.to_out.")
    assert all(any(part in name for part in parts) for name in names)
    expected = {name for name in published.values() if name.startswith("refextractor.")}
    blocks = [name for name in published.values() if name.startswith("blocks.")]
    expected |= {name for name in blocks if any(part in name for part in parts[1:])}
    assert names == expected


@pytest.mark.parametrize("stage", [2, 3])
def test_later_stages_train_attention_patches_pose_prefix_and_the_whole_extractor(network, stage) -> None:
    published = network.published_key_mapping().to_published
    names = {published[name] for name in trained_names(network, STAGES[stage])}
    starts = (
        "patch_embedding.",
        "input_hint_block.",
        "controlnet.",
        "controlnet_zero.",
        "image_to_cond.",
        "refextractor.",
    )
    expected = {name for name in published.values() if name.startswith(starts)}
    expected |= {name for name in published.values() if name.startswith("blocks.") and ".attn1." in name}
    assert names == expected


def test_freezing_leaves_gradients_to_the_named_only(network) -> None:
    names = trained_names(network, STAGES[1])
    freeze_but(network, names)
    assert {name for name, parameter in network.named_parameters() if parameter.requires_grad} == set(names)


def test_a_pattern_that_matches_nothing_is_refused(network) -> None:
    stage = settings(conditions={"trained": [r"no_such_module\."]}).conditions_of_stage
    with pytest.raises(BadInput, match="no_such_module"):
        trained_names(network, stage)


@pytest.mark.parametrize(
    ("stage", "both", "reference", "pose", "token_replace"),
    [(1, 0.2, 0, 0.8, 0), (2, 0.1, 0.1, 0.2, 0), (3, 0.1, 0.1, 0.3, 0.2)],
)
def test_conditions_are_dropped_as_often_as_the_recipe_says(stage, both, reference, pose, token_replace) -> None:
    rng = np.random.default_rng(0)
    plans = [plan_batch(settings(stage), rng, 29) for _ in range(4000)]
    dropped = Counter(plan.dropped for plan in plans)
    for name, share in {"both": both, "reference": reference, "pose": pose}.items():
        assert dropped[name] / 4000 == pytest.approx(share, abs=0.025)
    assert np.mean([plan.token_replace for plan in plans]) == pytest.approx(token_replace, abs=0.025)


def test_pictures_and_videos_are_mixed_six_to_one_and_pictures_never_have_context() -> None:
    rng = np.random.default_rng(0)
    plans = [plan_batch(settings(3), rng, draw_frames(settings(3), rng)) for _ in range(4000)]
    videos = [plan for plan in plans if plan.frames == 29]
    assert len(videos) / len(plans) == pytest.approx(6 / 7, abs=0.02)
    assert not any(plan.token_replace for plan in plans if plan.frames == 1)


def test_pictures_can_come_more_at_a_time_than_clips() -> None:
    mixed = settings(batch=2, picture_batch=8)
    assert (mixed.samples(1), mixed.samples(29)) == (8, 2)
    assert settings(batch=2).samples(1) == 2


def test_buckets_follow_shares_and_the_clips_aspect() -> None:
    rng = np.random.default_rng(0)
    mixed = settings(
        resolutions=(Resolution(area=512, share=0.2), Resolution(area=768, share=0.8)), aspects=(9 / 16, 1.0, 16 / 9)
    )
    plans = [plan_batch(mixed, rng, 29, aspect=0.6) for _ in range(2000)]
    assert {(plan.width, plan.height) for plan in plans} == {(384, 672), (576, 1008)}
    assert np.mean([plan.width == 576 for plan in plans]) == pytest.approx(0.8, abs=0.03)
    free = {(plan.width, plan.height) for plan in (plan_batch(mixed, rng, 29) for _ in range(300))}
    assert len(free) == 6
    assert all(width % 16 == 0 and height % 16 == 0 for width, height in free)


def test_buckets_are_areas_or_short_sides() -> None:
    assert Resolution(area=512).size(9 / 16) == (384, 672) and Resolution(area=768).size(16 / 9) == (1008, 576)
    assert Resolution(area=512).size(1.0) == (512, 512)
    for aspect in settings().aspects:
        width, height = Resolution(area=512).size(aspect)
        assert 0.92 * 512**2 <= width * height <= 512**2
        assert (3 * width // 2, 3 * height // 2) == Resolution(area=768).size(aspect)
    assert Resolution(short_side=128).size(2 / 3) == (128, 192)
    assert Resolution(short_side=128).size(3 / 2) == (192, 128)
    assert nearest_aspect(0.7, (0.5, 2 / 3, 1.0)) == 2 / 3


def test_the_stages_have_the_released_buckets() -> None:
    shares = {number: [(each.area, each.share) for each in settings(number).sizes] for number in (1, 2, 3)}
    assert shares == {1: [(512, 1.0)], 2: [(512, 0.5), (768, 0.5)], 3: [(512, 0.2), (768, 0.8)]}


def test_clips_keep_their_own_rate_up_to_twice_sixteen() -> None:
    assert [own_rate(fps) for fps in (12, 24, 25, 30, 31, 50, 60)] == [12, 24, 25, 30, 31, 50 / 3, 20]


def test_the_learning_rate_warms_up_then_stays_or_falls() -> None:
    constant = settings(lr=1e-4, warmup=10, steps=110)
    assert constant.learning_rate(0) == pytest.approx(1e-5)
    assert constant.learning_rate(10) == constant.learning_rate(109) == pytest.approx(1e-4)
    falling = settings(lr=1e-4, warmup=10, steps=110, final_lr=0.1)
    assert falling.learning_rate(60) == pytest.approx(0.55e-4)
    assert falling.learning_rate(110) == pytest.approx(1e-5)


def test_settings_survive_yaml(tmp_path) -> None:
    original = settings(
        3,
        model=NetworkSettings(num_layers=2, num_reference_layers=1, num_pose_layers=1),
        data=DataSettings(clips=7),
        resolutions=(Resolution(short_side=128, share=0.5),),
        conditions={"mask": 0.6},
    )
    (tmp_path / "config.yaml").write_text(dump_settings(original))
    loaded = load_settings(TrainingSettings, tmp_path / "config.yaml")
    assert loaded == original
    assert loaded.conditions_of_stage.mask == 0.6
    assert loaded.conditions_of_stage.token_replace == 0.2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("stage: 1\nvae: v\nsteps: 1\nmodel: {}\n", "lacks.*output"),
        ("output: o\nstage: 4\nvae: v\nsteps: 1\nmodel: {}\n", "1, 2 or 3"),
        ("output: o\nstage: 1\nvae: v\nsteps: 1\n", "init_from"),
        ("output: o\nstage: 1\nvae: v\nsteps: many\nmodel: {}\n", "whole number"),
        ("output: o\nstage: 1\nvae: v\nsteps: 1\nmodel: {}\nlearning_rate: 1\n", "learning_rate"),
        ("output: o\nstage: 1\nvae: v\nsteps: 1\nmodel: {}\ndata: {source: films}\n", "puppets"),
        ("output: o\nstage: 1\nvae: v\nsteps: 1\nmodel: {}\ndata: {source: videos}\n", "folder"),
        ("output: o\nstage: 2\nvae: v\nsteps: 1\nmodel: {}\nframes: 30\n", "4k"),
        ("output: [", "YAML"),
        ("- 1", "mapping"),
    ],
)
def test_mistakes_in_a_config_are_named(tmp_path, text, said) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(BadInput, match=said):
        load_settings(TrainingSettings, path)


def test_mistakes_in_conditions_are_named() -> None:
    with pytest.raises(ValueError, match="maskk"):
        settings(conditions={"maskk": 0.5})
    with pytest.raises(ValueError, match="more than 1"):
        settings(conditions={"drop_both": 0.9, "drop_pose": 0.9})


def test_numbers_like_1e_5_are_read_as_numbers(tmp_path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("output: o\nstage: 1\nvae: v\nsteps: 1\nmodel: {}\nlr: 1e-5\n")
    assert load_settings(TrainingSettings, path).lr == 1e-5
