"""Solvers, guidance on some steps only, and step caches: exact where they say so, cheaper where they are not."""

from collections import Counter

import pytest
import torch
from golden_recipe import tiny_transformer, tiny_vae
from test_pipeline_golden import call

from onetoall_cli.errors import BadInput
from onetoall_cli.model import attention
from onetoall_cli.model.attention import AttentionKernel, BlockedAttention
from onetoall_cli.sampling import OneToAllPipeline, kernels
from onetoall_cli.sampling.caching import enable_cache
from onetoall_cli.sampling.guidance import FULL, POSE_ONLY, UNCONDITIONAL, Guidance, Schedule
from onetoall_cli.sampling.kernels import choose_attention, compile_blocks, kernel_for
from onetoall_cli.sampling.solvers import SAMPLERS, even_sigmas, make_scheduler, start

SPREAD = 0.3  # standard deviation of the Gaussian data below


@pytest.fixture(scope="module")
def vae():
    return tiny_vae()


@pytest.fixture
def pipeline(vae):
    return OneToAllPipeline(vae=vae, transformer=tiny_transformer(), scheduler=make_scheduler("euler", 7.0))


def flow_error(sampler: str, steps: int) -> float:
    """How far a solver ends from the exact solution, where data are Gaussian and the flow is known."""
    scheduler = make_scheduler(sampler, 7.0)
    sample = torch.ones(1, 1, dtype=torch.float64)
    for timestep in start(scheduler, steps):
        t = timestep.double() / 1000
        variance = (1 - t) ** 2 * SPREAD**2 + t**2
        velocity = (t - (1 - t) * SPREAD**2) / variance * sample  # E[noise - data | sample]
        sample = scheduler.step(velocity, timestep, sample, return_dict=False)[0]
    return abs(sample.item() - SPREAD)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_solver_converges_to_the_flow(sampler):
    assert flow_error(sampler, 300) < 0.012
    assert flow_error(sampler, 300) < 0.1 * flow_error(sampler, 8)


@pytest.mark.parametrize("sampler", ["unipc", "dpm++"])
def test_multistep_solvers_are_nearer_than_euler_with_as_many_steps(sampler):
    assert flow_error(sampler, 12) < 0.5 * flow_error("euler", 12)


def test_even_noise_levels_are_those_of_the_step_distilled_models():
    for sampler in SAMPLERS:
        times = start(make_scheduler(sampler, 5.0), 4, even_sigmas(4))
        assert times.tolist() == pytest.approx([1000, 937.5, 5000 / 6, 625])


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_context_stays_clean_and_out_of_the_solvers_history(pipeline, sampler):
    pipeline.scheduler = make_scheduler(sampler, 7.0)
    seen = []
    step = pipeline.scheduler.step

    def watched(velocity, timestep, latents, **options):
        seen.append((velocity.shape[2], latents.shape[2]))
        return step(velocity, timestep, latents, **options)

    pipeline.scheduler.step = watched
    states = []
    call(pipeline, "continue", "latent", callback_on_step_end=lambda *arguments: states.append(arguments[3]["latents"]))
    assert seen == [(3, 3)] * 3  # 5 latent frames, 2 of them context
    for state in states[1:]:
        assert torch.equal(state[:, :, :2], states[0][:, :, :2])
        assert state.isfinite().all()


def test_guidance_runs_all_passes_inside_its_interval_and_one_outside():
    guidance = Guidance.of_scales(2.5, 1.5, 10, interval=(0.2, 0.6), every=2)
    every_pass = (UNCONDITIONAL, POSE_ONLY, FULL)
    inside = [every_pass, (FULL,), every_pass, (FULL,)]
    assert [guidance.passes(step) for step in range(10)] == [(FULL,)] * 2 + inside + [(FULL,)] * 4
    assert guidance.network_runs() == 14


def test_a_schedule_guides_parts_of_the_steps_and_computes_anew_where_the_scale_changes():
    image = Schedule(((2.5, 0.0, 0.5), (1.5, 0.5, 0.75)))
    guidance = Guidance.of_scales(image, 1.0, 8, every=3)
    assert [weights.get(FULL) for weights in guidance.weights] == [2.5] * 4 + [1.5] * 2 + [1.0] * 2
    both = (UNCONDITIONAL, FULL)
    assert [len(guidance.passes(step)) for step in range(8)] == [2, 1, 1, 2, 2, 1, 1, 1]
    assert guidance.passes(4) == both and guidance.all_passes() == set(both)
    for step in range(8):
        velocities = {FULL: torch.full((1,), 3.0), UNCONDITIONAL: torch.full((1,), 1.0)}
        guided = guidance.combine(step, {each: velocities[each] for each in guidance.passes(step)})
        assert guided.item() == pytest.approx(1 + guidance.weights[step][FULL] * 2)


def test_reused_guidance_is_exact_where_its_direction_stays():
    guidance = Guidance.of_scales(2.5, 1.5, 4, every=2)
    base = torch.tensor([1.0, 2.0])
    for step in range(4):
        full = base * (step + 1)  # v(R, P) changes, what the conditions add to it does not
        velocities = {FULL: full, POSE_ONLY: full - 1, UNCONDITIONAL: full - 3}
        expected = (full - 3) + 1.5 * 2 + 2.5 * 1
        computed = {each: velocities[each] for each in guidance.passes(step)}
        torch.testing.assert_close(guidance.combine(step, computed), expected)


def test_reuse_works_where_the_full_pass_has_no_weight():
    guidance = Guidance.of_scales(0.0, 1.5, 2, every=2)
    assert set(guidance.passes(0)) == {UNCONDITIONAL, POSE_ONLY, FULL}
    velocities = {UNCONDITIONAL: torch.ones(1), POSE_ONLY: torch.full((1,), 3.0), FULL: torch.full((1,), 5.0)}
    assert guidance.combine(0, velocities).item() == pytest.approx(-0.5 + 1.5 * 3)
    assert guidance.combine(1, {FULL: torch.full((1,), 6.0)}).item() == pytest.approx(5.0)


def test_the_pipeline_encodes_only_what_the_passes_need(pipeline):
    """Without guidance no black reference is encoded and no negative prompt is needed."""
    without = {"guidance_interval": (0.0, 0.0), "prompt_embeds": torch.zeros(1, 12, 64), "negative_prompt_embeds": None}
    assert call(pipeline, "animate", "latent", **without).isfinite().all()


def count_runs(network) -> Counter:
    runs = Counter()
    network.blocks[1].self_attention.register_forward_hook(lambda *_: runs.update(["inner"]))
    network.blocks[0].self_attention.register_forward_hook(lambda *_: runs.update(["first"]))
    return runs


@pytest.mark.parametrize(("cache", "exact"), [("first-block", 0.0), ("taylor", 1)])
def test_a_cache_that_never_reuses_changes_nothing(pipeline, cache, exact):
    plain = call(pipeline, "continue", "latent")
    enable_cache(pipeline.transformer, cache, exact)
    torch.testing.assert_close(call(pipeline, "continue", "latent"), plain, atol=1e-5, rtol=0)


def test_the_first_block_cache_keeps_each_pass_and_segment_apart(pipeline):
    enable_cache(pipeline.transformer, "first-block", 1e9)
    runs = count_runs(pipeline.transformer)
    first = call(pipeline, "animate", "latent")
    assert runs == {"first": 12, "inner": 3}  # four steps of three passes, of which the first step's are whole
    assert torch.equal(call(pipeline, "animate", "latent"), first)
    assert runs == {"first": 24, "inner": 6}


def test_the_taylor_cache_skips_whole_passes_and_stays_near(pipeline):
    steps = {"num_inference_steps": 13}
    plain = call(pipeline, "animate", "latent", **steps)
    enable_cache(pipeline.transformer, "taylor", 2)
    runs = count_runs(pipeline.transformer)
    cached = call(pipeline, "animate", "latent", **steps)
    assert runs["first"] == runs["inner"] == 3 * (3 + 5)  # the first 3 steps, then steps 4, 6, 8, 10, 12
    assert 0 < (cached - plain).norm() < 0.3 * plain.norm()  # an untrained network's velocity is not smooth
    enable_cache(pipeline.transformer, "none")
    assert torch.equal(call(pipeline, "animate", "latent", **steps), plain)


def test_the_attention_kernel_can_be_named(pipeline):
    plain = call(pipeline, "image", "latent")
    choose_attention(pipeline.transformer, "sdpa")
    assert all(kernel._attention_backend == "native" for kernel in attention_kernels(pipeline.transformer))
    torch.testing.assert_close(call(pipeline, "image", "latent"), plain)


def attention_kernels(network):
    return [module.processor for module in network.modules() if hasattr(module, "processor")]


@pytest.mark.parametrize(("queries", "keys", "heads", "dim"), [(1100, 2100, 2, 64), (700, 2048, 1, 128)])
def test_blocked_attention_in_bfloat16_stays_near_float32(queries, keys, heads, dim):
    generator = torch.Generator().manual_seed(0)
    drawn = [torch.randn(2, length, heads, dim, generator=generator).bfloat16() for length in (queries, keys, keys)]
    exact = AttentionKernel()(*(each.float() for each in drawn))
    error = BlockedAttention()(*drawn).float() - exact
    assert error.norm() < 0.006 * exact.norm()  # bfloat16 has 8 bits; torch's own kernel: 0.0025
    assert error.abs().max() < 0.02 * exact.abs().max()
    wide = BlockedAttention()(*(each.float() for each in drawn))
    torch.testing.assert_close(wide, exact, atol=1e-5, rtol=1e-4)


def test_with_few_keys_blocked_attention_is_torchs_own():
    drawn = [torch.randn(1, 2047, 1, 32, generator=torch.Generator().manual_seed(0)).bfloat16()] * 3
    assert torch.equal(BlockedAttention()(*drawn), AttentionKernel()(*drawn))


def test_what_all_keys_share_costs_blocked_attention_no_precision(monkeypatch):
    monkeypatch.setattr(attention, "FEWEST_BLOCKED_KEYS", 0)
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(1, 64, 1, 32, generator=generator).bfloat16() for _ in range(3))
    shared = key + torch.full_like(key, 8)
    exact = AttentionKernel()(query.float(), shared.float(), value.float())
    error = BlockedAttention()(query, shared, value).float() - exact
    assert error.norm() < 0.006 * exact.norm()  # with the keys as they are 0.012


def test_the_blocked_kernel_changes_a_run_by_rounding_only(pipeline, monkeypatch):
    monkeypatch.setattr(attention, "FEWEST_BLOCKED_KEYS", 0)
    plain = call(pipeline, "continue", "latent")
    choose_attention(pipeline.transformer, "blocked")
    blocked = call(pipeline, "continue", "latent")
    assert 0 < (blocked - plain).norm() < 1e-4 * plain.norm()
    choose_attention(pipeline.transformer, "sdpa")
    assert torch.equal(call(pipeline, "continue", "latent"), plain)


def test_the_kernel_of_auto_depends_on_device_and_number_format_alone(monkeypatch):
    """So that every run of a command takes the same."""
    monkeypatch.setattr(kernels, "has_bfloat16_without_matrix_units", lambda: True)
    cpu = torch.device("cpu")
    assert kernel_for("auto", cpu, torch.bfloat16) == "blocked"
    others = [(cpu, torch.float32, False), (cpu, torch.bfloat16, True), (torch.device("cuda"), torch.bfloat16, False)]
    assert {kernel_for("auto", device, dtype, compiled=compiled) for device, dtype, compiled in others} == {"sdpa"}
    monkeypatch.setattr(kernels, "has_bfloat16_without_matrix_units", lambda: False)
    assert kernel_for("auto", cpu, torch.bfloat16) == "sdpa"
    assert kernel_for("blocked", cpu, torch.float32) == "blocked"


@pytest.mark.parametrize("attention", ["cudnn", "flash", "flash3", "sage"])
def test_kernels_for_cuda_are_refused_elsewhere(pipeline, attention):
    with pytest.raises(BadInput, match="CUDA only"):
        choose_attention(pipeline.transformer, attention)


@pytest.mark.slow
@pytest.mark.parametrize("cache", ["none", "taylor"])
def test_compiled_blocks_give_the_same_latents(pipeline, cache):
    enable_cache(pipeline.transformer, cache, 2)
    plain = call(pipeline, "animate", "latent")
    compile_blocks(pipeline.transformer)
    enable_cache(pipeline.transformer, cache, 2)
    torch.testing.assert_close(call(pipeline, "animate", "latent"), plain, atol=1e-3, rtol=0)
