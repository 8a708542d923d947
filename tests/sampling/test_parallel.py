"""Several processes make the segment that one makes: passes divided exactly, tokens up to rounding, both together."""

from functools import partial

import pytest
import torch
from diffusers import AutoencoderKLWan, FlowMatchEulerDiscreteScheduler
from forked_processes import in_processes

from onetoall_cli.errors import BadInput
from onetoall_cli.lattice import latent_shape
from onetoall_cli.model import OneToAllTransformer3DModel
from onetoall_cli.runtime import processes
from onetoall_cli.runtime.parallel import Parallel, choose_parallel
from onetoall_cli.sampling import OneToAllPipeline
from onetoall_cli.sampling.guidance import Guidance
from onetoall_cli.sampling.parallel import LedPipeline, Team, share_tiles

HEIGHT, WIDTH, FRAMES, HEADS = 32, 32, 13, 6


def small_pipeline() -> OneToAllPipeline:
    """Float32, with no weight that is zero, so that every branch shows."""
    torch.manual_seed(0)
    network = OneToAllTransformer3DModel(
        num_attention_heads=HEADS,
        attention_head_dim=16,
        ffn_dim=96,
        text_dim=16,
        num_layers=3,
        num_reference_layers=2,
        num_pose_layers=2,
    )
    for parameter in network.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    vae = AutoencoderKLWan(base_dim=8, z_dim=16, dim_mult=[1, 2, 2, 2], num_res_blocks=1)
    return OneToAllPipeline(vae, network.eval(), FlowMatchEulerDiscreteScheduler(shift=7.0))


def latents_of(pipeline: OneToAllPipeline) -> torch.Tensor:
    """A segment with carried frames, so that the tokens have several times; three passes, then one, then three."""
    source = torch.Generator().manual_seed(1)

    def uniform(*shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=source) * 2 - 1

    def guidance() -> Guidance:
        return Guidance.of_scales(2.5, 1.5, steps=3, every=2)

    prompts = [uniform(1, 20, 16), uniform(1, 20, 16)]
    mask = uniform(HEIGHT, WIDTH).clamp(0, 1)
    subject = pipeline.encode_subject(guidance().all_passes(), uniform(3, HEIGHT, WIDTH), mask, *prompts)
    return pipeline.generate(
        subject,
        uniform(1, 3, FRAMES, HEIGHT, WIDTH),
        uniform(1, 3, 1, HEIGHT, WIDTH),
        guidance(),
        context_frames=[uniform(3, HEIGHT, WIDTH) for _ in range(5)],
        latents=torch.randn(1, 16, *latent_shape(FRAMES, HEIGHT, WIDTH), generator=source),
    )


def shared(pipeline: OneToAllPipeline, parallel: Parallel) -> torch.Tensor:
    processes.meet(torch.device("cpu"))
    torch.set_num_threads(1)
    Team(parallel).set_up(pipeline)
    latents = latents_of(pipeline)
    processes.part()
    return latents


def tiled_frames() -> torch.Tensor | None:
    """What the first process yields; others return nothing."""
    pipeline = small_pipeline()
    pipeline.vae.enable_tiling(48, 48, 32, 32)
    latents = torch.randn(1, 16, 3, 8, 10, generator=torch.Generator().manual_seed(2))
    if processes.count() == 1:
        return torch.cat(list(pipeline.decode(latents)), dim=2)
    processes.meet(torch.device("cpu"))
    torch.set_num_threads(1)
    found = None
    if processes.rank() == 0:
        found = torch.cat(list(LedPipeline(pipeline).decode(latents)), dim=2)
    else:
        _, arguments, _ = processes.next_order()
        share_tiles(pipeline.vae, *arguments)
    processes.part()
    return found


def test_tiles_that_several_processes_decode_give_the_frames_of_one(expected, tmp_path):
    found, *_ = in_processes(3, tmp_path, tiled_frames)
    assert torch.equal(found, tiled_frames())


@pytest.fixture(scope="module")
def pipeline():
    return small_pipeline()


@pytest.fixture(scope="module")
def expected(pipeline):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield latents_of(pipeline)
    torch.set_num_threads(threads)


@pytest.mark.parametrize("parallel", [Parallel(passes=2), Parallel(passes=3)], ids=str)
def test_divided_passes_give_the_latents_of_one_process_bit_for_bit(pipeline, expected, parallel, tmp_path):
    for found in in_processes(parallel.count, tmp_path, partial(shared, pipeline, parallel)):
        assert torch.equal(found, expected)


@pytest.mark.parametrize("parallel", [Parallel(tokens=2), Parallel(tokens=3), Parallel(2, 2)], ids=str)
def test_divided_tokens_give_the_latents_of_one_process(pipeline, expected, parallel, tmp_path):
    """The 20 tokens of 3 processes are 6, 7 and 7, and ranges of times end within them."""
    first, *others = in_processes(parallel.count, tmp_path, partial(shared, pipeline, parallel))
    assert (first - expected).abs().max() <= 1e-5 * expected.abs().max()
    assert all(torch.equal(first, other) for other in others)


def test_processes_compute_passes_before_they_share_tokens():
    choose = partial(choose_parallel, passes=3, heads=12)
    chosen = {count: str(choose(count, None)) for count in (1, 2, 3, 4, 6, 8, 12)}
    assert chosen == {
        1: "",
        2: "guidance",
        3: "guidance",
        4: "guidance,ulysses:2",
        6: "guidance,ulysses:2",
        8: "guidance,ulysses:4",
        12: "guidance,ulysses:4",
    }
    assert choose(6, "ulysses:6") == Parallel(tokens=6)


@pytest.mark.parametrize(
    "count, wanted, said",
    [
        (8, "ulysses:8", "N of ulysses:N may be 2, 3, 4, 6, 12"),
        (5, None, "processes may be 2, 3, 4, 6, 8, 9, 12, 18, 24, 36"),
        (4, "guidance", "guidance has 3 pass"),
        (1, "guidance", "Add --gpus 2"),
        (2, "ring:2", "Give guidance, ulysses:N"),
    ],
)
def test_what_cannot_be_shared_is_one_sentence_with_what_can(count, wanted, said):
    with pytest.raises(BadInput, match=said):
        choose_parallel(count, wanted, passes=3, heads=12)


def test_with_the_first_block_cache_tokens_are_not_shared():
    assert choose_parallel(3, None, passes=3, heads=12, cache="first-block") == Parallel(passes=3)
    with pytest.raises(BadInput, match="may be none; processes may be 2, 3"):
        choose_parallel(2, "ulysses:2", passes=3, heads=12, cache="first-block")
