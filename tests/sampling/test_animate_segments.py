"""Long motions: the segments join, the job streams, and nothing depends on anything but the seed."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from untrained_model import build_untrained_model

from onetoall_cli.alignment import Conditioning
from onetoall_cli.errors import OnetoallError
from onetoall_cli.hub import locate_model
from onetoall_cli.pose import PoseSequence
from onetoall_cli.runtime import pick_dtype
from onetoall_cli.runtime.vae import decode_frames
from onetoall_cli.sampling import SamplingSettings, animate, load_pipeline
from onetoall_cli.sampling.carrying import Carried
from onetoall_cli.sampling.motion import _noise
from onetoall_cli.sampling.segments import Segment
from onetoall_cli.weights import prompt_embeddings

HEIGHT, WIDTH = 32, 32
SETTINGS = SamplingSettings(num_inference_steps=2, max_segment_frames=13)


@pytest.fixture(scope="module")
def location(tmp_path_factory):
    return locate_model(str(build_untrained_model(tmp_path_factory.mktemp("model"))))


@pytest.fixture(scope="module")
def pipeline(location):
    cpu = torch.device("cpu")
    return load_pipeline(location, cpu, pick_dtype("auto", cpu))  # 3D convolutions in float32 are slow on CPUs


@pytest.fixture(scope="module")
def embeds(location):
    return prompt_embeddings(location, ["", location.defaults.negative_prompt])


def conditioning(frames: int) -> Conditioning:
    rng = np.random.default_rng(5)
    keypoints = np.ones((frames, 1, 133, 3), np.float32)
    keypoints[..., :2] = rng.uniform(0, [WIDTH, HEIGHT], size=(1, 1, 133, 2)) + np.arange(frames)[:, None, None, None]
    motion = PoseSequence(keypoints, WIDTH, HEIGHT, fps=10)
    reference = rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[:10] = True
    return Conditioning(
        reference, mask, np.zeros_like(reference), motion, face="full", head="full", canvas_short_side=120, meta={}
    )


def generate(pipeline, embeds, frames: int, settings=SETTINGS, **options) -> np.ndarray:
    return np.stack(list(animate(pipeline, conditioning(frames), settings, *embeds, **options)))


def test_runs_of_three_segments_are_equal(pipeline, embeds):
    settings = replace(SETTINGS, max_segment_frames=9)
    first, *others = [generate(pipeline, embeds, 17, settings) for _ in range(4)]
    assert all(np.array_equal(first, other) for other in others)


def test_every_frame_of_the_motion_comes_out_once(pipeline, embeds):
    for frames in (1, 2, 14):
        assert generate(pipeline, embeds, frames).shape == (frames, HEIGHT, WIDTH, 3)


def test_the_first_frames_of_a_continued_segment_reproduce_the_carried_ones_through_the_vae(location, embeds):
    """The VAE is causal: what it makes of the 2 context latents does not depend on the latents that follow."""
    pipeline = load_pipeline(location, torch.device("cpu"), torch.float32)  # exact enough to compare
    rng = np.random.default_rng(0)
    carried = [rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8) for _ in range(5)]
    job = conditioning(9)
    call = {
        "image": job.reference,
        "image_mask": job.mask,
        "pose_video": torch.zeros(1, 3, 9, HEIGHT, WIDTH),
        "reference_pose": torch.zeros(1, 3, 1, HEIGHT, WIDTH),
        "prompt_embeds": embeds[0],
        "negative_prompt_embeds": embeds[1],
        "num_inference_steps": 1,
        "latents": torch.randn(1, 16, 3, HEIGHT // 8, WIDTH // 8, generator=torch.Generator().manual_seed(1)),
        "output_type": "pt",
    }
    continued = pipeline(**call, context_frames=carried).frames
    alone = pipeline(**call).frames
    context = torch.from_numpy(np.stack(carried)).permute(3, 0, 1, 2)[None].float() / 127.5 - 1
    through_vae = pipeline.vae.decode(pipeline.vae.encode(context).latent_dist.mode()).sample.clamp(-1, 1)
    torch.testing.assert_close(continued[:, :, :5], through_vae, atol=1e-4, rtol=0)
    assert (continued[:, :, 5:] - alone[:, :, 5:]).abs().mean() > 1e-3  # the rest follows the context too


def test_each_segment_continues_from_the_last_frames_of_the_one_before(pipeline, embeds, monkeypatch):
    calls = recorded(monkeypatch, type(pipeline))
    generate(pipeline, embeds, 30, replace(SETTINGS, carry="frames"))
    assert "context_frames" not in calls[0][0] and len(calls) == 4
    for (_, latents), (arguments, _) in itertools.pairwise(calls):
        frames = torch.cat(list(decode_frames(pipeline.vae, latents)), dim=2)[0].transpose(0, 1)
        torch.testing.assert_close(torch.stack(arguments["context_frames"]), frames[-5:], atol=0, rtol=0)


@pytest.mark.parametrize(("overlap", "latents", "segments"), [(1, 1, 3), (5, 2, 4), (9, 3, 6)])
def test_the_overlap_is_chosen_and_latents_may_be_carried_as_they_are(
    pipeline, embeds, monkeypatch, overlap, latents, segments
):
    calls = recorded(monkeypatch, type(pipeline))
    settings = replace(SETTINGS, carry="latents", overlap=overlap, num_inference_steps=1)
    assert len(generate(pipeline, embeds, 30, settings)) == 30
    assert len(calls) == segments == len(settings.segments(30))
    for (_, before), (arguments, after) in itertools.pairwise(calls):
        assert torch.equal(arguments["context_latents"], before[:, :, -latents:])
        assert torch.equal(after[:, :, :latents], before[:, :, -latents:])


def test_every_segment_is_eased_towards_the_first_latents_that_were_carried(pipeline, embeds, monkeypatch):
    calls, states = recorded(monkeypatch, type(pipeline)), []
    seen: list[tuple] = []

    def eased(self, made, count):
        seen.append((self.first, made, count))
        return torch.cat([made[:, :, :count], made[:, :, count:] + 0.01], dim=2)

    monkeypatch.setattr(Carried, "eased", eased)
    generate(pipeline, embeds, 30, replace(SETTINGS, num_inference_steps=1), on_segment=states.append)
    firsts, given, counts = zip(*seen, strict=True)
    assert firsts[0] is None and all(torch.equal(first, states[0].carried.latents) for first in firsts[1:])
    assert counts == (2, 2, 2)
    for made, (_, generated), state in zip(given, calls[1:], states[1:], strict=True):
        assert torch.equal(made, generated)
        assert torch.equal(state.carried.latents[:, :, -1], made[:, :, -1] + 0.01)  # what was eased is carried on


def last_frames(pipeline, latents: torch.Tensor) -> torch.Tensor:
    """The last five that a segment's latents become, (5, 3, H, W)."""
    return torch.cat(list(decode_frames(pipeline.vae, latents)), dim=2)[0].transpose(0, 1)[-5:]


def recorded(monkeypatch, kind) -> list[tuple[dict, torch.Tensor]]:
    """The arguments and latents of each segment that is generated from now on."""
    calls: list[tuple[dict, torch.Tensor]] = []
    original = kind.generate

    def record(self, subject, **arguments):
        latents = original(self, subject, **arguments)
        calls.append((arguments, latents))
        return latents

    monkeypatch.setattr(kind, "generate", record)
    return calls


def test_without_token_replace_only_a_clip_that_is_there_is_continued(pipeline, embeds, monkeypatch):
    fed = []
    original = type(pipeline).generate

    def record(self, *arguments, **call):
        fed.append(any(call.get(name) is not None for name in ("context_frames", "context_latents")))
        return original(self, *arguments, **call)

    monkeypatch.setattr(type(pipeline), "generate", record)
    settings = replace(SETTINGS, num_inference_steps=1, max_segment_frames=9, carry="none")
    assert len(generate(pipeline, embeds, 13, settings)) == 13 and fed == [False, False]
    clip = list(np.zeros((5, HEIGHT, WIDTH, 3), np.uint8))
    assert len(generate(pipeline, embeds, 13, settings, context_frames=clip)) == 8 and fed[2:] == [True, False]


def test_reference_mask_and_prompts_are_encoded_once_for_all_segments(pipeline, embeds, monkeypatch):
    encoded = []
    encode_frames, encode_text = type(pipeline).encode_frames, pipeline.transformer.encode_text
    monkeypatch.setattr(
        type(pipeline), "encode_frames", lambda self, frames: encoded.append(frames) or encode_frames(self, frames)
    )
    monkeypatch.setattr(pipeline.transformer, "encode_text", lambda text: encoded.append(text) or encode_text(text))
    generate(pipeline, embeds, 22, replace(SETTINGS, carry="frames"))
    # reference, mask, black, both prompts; then the carried frames of the second segment and of the third
    assert [tuple(each.shape[2:]) for each in encoded] == [(1, 32, 32)] * 3 + [(32,)] * 2 + [(5, 32, 32)] * 2


def test_the_same_seed_gives_the_same_frames_and_another_does_not(pipeline, embeds):
    first, again = generate(pipeline, embeds, 17), generate(pipeline, embeds, 17)
    other = generate(pipeline, embeds, 17, SamplingSettings(num_inference_steps=2, max_segment_frames=13, seed=7))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_run_goes_on_from_the_state_behind_any_of_its_segments(pipeline, embeds):
    states, whole = [], generate(pipeline, embeds, 30)
    generate(pipeline, embeds, 30, on_segment=states.append)
    assert [state.index for state in states] == [1, 2, 3, 4]
    rest = generate(pipeline, embeds, 30, begin=states[2])
    assert np.array_equal(rest, whole[-len(rest) :]) and len(rest) < 10
    assert list(animate(pipeline, conditioning(30), SETTINGS, *embeds, begin=states[3])) == []


def test_frames_come_out_before_the_next_segment_is_generated(pipeline, embeds):
    """So that a job of any length holds one segment's frames: the first arrives after the first segment's steps."""
    steps = []
    frames = animate(
        pipeline, conditioning(200), SETTINGS, *embeds, on_step=lambda segment, step: steps.append(segment)
    )
    next(frames)
    assert set(steps) == {0}
    frames.close()


def test_an_extended_clip_yields_only_new_frames(pipeline, embeds):
    clip = [np.full((HEIGHT, WIDTH, 3), 90, np.uint8)] * 5
    assert len(generate(pipeline, embeds, 20, context_frames=clip)) == 15


def test_the_pass_without_pose_does_not_run_the_pose_branch(pipeline, embeds, monkeypatch):
    runs = []
    refiner, extractor = pipeline.transformer.pose_refiner, pipeline.transformer.reference_extractor
    hooks = [
        refiner.blocks[0].register_forward_hook(lambda *_: runs.append("pose")),
        extractor.register_forward_hook(lambda *_: runs.append("reference")),
        pipeline.transformer.blocks[0].register_forward_hook(lambda *_: runs.append("pass")),
        pipeline.transformer.pose_encoder.register_forward_hook(lambda *_: runs.append("encoder")),
    ]
    generate(pipeline, embeds, 13)
    for hook in hooks:
        hook.remove()
    # 2 steps of 3 passes: two of them with pose; the black reference serves two passes; poses are encoded once
    assert {name: runs.count(name) for name in ("pass", "pose", "reference")} == {"pass": 6, "pose": 4, "reference": 4}
    assert 1 <= runs.count("encoder") <= 2  # the reference pose and the video


@pytest.fixture
def own_pipeline(location):
    """One that a test may spoil."""
    return load_pipeline(location, torch.device("cpu"), torch.bfloat16)


def test_numbers_that_stop_being_numbers_end_the_job_after_the_step(own_pipeline, embeds):
    own_pipeline.transformer.blocks[0].ffn.net[2].weight.data[0, 0] = float("nan")
    steps = []
    with pytest.raises(OnetoallError, match="After step 1 of segment 1 the picture is NaN") as error:
        generate(own_pipeline, embeds, 5, on_step=lambda segment, step: steps.append(step))
    assert "--lora" in error.value.advice and "float16" in error.value.advice and not steps


@pytest.mark.parametrize(("value", "problem"), [(float("nan"), "Frame 0 is NaN"), (9.0, "Frame 0 has one colour")])
def test_a_decoder_that_paints_nothing_ends_the_job(own_pipeline, embeds, value, problem):
    last = own_pipeline.vae.decoder.conv_out
    last.weight.data.zero_()
    last.bias.data.fill_(value)
    with pytest.raises(OnetoallError, match=problem):
        generate(own_pipeline, embeds, 5)


def test_one_colour_is_right_where_nobody_is_to_be_seen(own_pipeline, embeds):
    """The person leaves a plain background after 3 frames."""
    job = conditioning(7)
    keypoints = job.motion.keypoints.copy()
    keypoints[3:, ..., 2] = 0
    job = replace(job, motion=replace(job.motion, keypoints=keypoints))
    drawn = iter(animate(own_pipeline, job, SETTINGS, *embeds))
    first = [next(drawn) for _ in range(3)]
    last = own_pipeline.vae.decoder.conv_out  # the frames are decoded as they are asked for
    last.weight.data.zero_()
    last.bias.data.fill_(9.0)
    frames = [*first, *drawn]
    assert len(frames) == 7 and (frames[-1] == 255).all()


def test_a_draft_begins_with_the_pooled_noise_of_the_whole_in_every_segment():
    small, segment = conditioning(9), Segment(0, 9, 0)
    large = replace(
        small,
        **{
            name: np.kron(getattr(small, name), ones)
            for name, ones in (
                ("reference", np.ones((2, 2, 1), np.uint8)),
                ("reference_pose", np.ones((2, 2, 1), np.uint8)),
                ("mask", np.ones((2, 2), bool)),
            )
        },
        motion=replace(small.motion, width=2 * WIDTH, height=2 * HEIGHT),
    )
    sources = [torch.Generator("cpu").manual_seed(3) for _ in range(2)]
    for _ in range(2):
        draft = _noise(small, segment, sources[0], pooled=True)
        whole = _noise(large, segment, sources[1], pooled=False)
        quarters = whole.reshape(1, 16, 3, HEIGHT // 8, 2, WIDTH // 8, 2)
        assert torch.allclose(draft, quarters.sum(dim=(4, 6)) / 2, atol=1e-6)
        assert draft.std() == pytest.approx(1, abs=0.1)
