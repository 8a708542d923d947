"""Memory that runs out in the middle of a job: the segment is tried once more with less, and nothing is lost."""

import dataclasses

import numpy as np
import pytest
import torch
from test_animate_segments import SETTINGS, conditioning
from untrained_model import build_untrained_model

from onetoall_cli.hub import locate_model
from onetoall_cli.runtime import MemoryPlan, is_out_of_memory
from onetoall_cli.runtime.memory import Estimate
from onetoall_cli.sampling import animate, load_pipeline, refit
from onetoall_cli.weights import prompt_embeddings

CPU = torch.device("cpu")
NO_MEMORY = RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")


@pytest.fixture(scope="module")
def location(tmp_path_factory):
    return locate_model(str(build_untrained_model(tmp_path_factory.mktemp("model"))))


@pytest.fixture(scope="module")
def embeds(location):
    return prompt_embeddings(location, ["", location.defaults.negative_prompt])


@pytest.fixture
def pipeline(location):
    return load_pipeline(location, CPU, torch.bfloat16)


@pytest.fixture(scope="module")
def undisturbed(location, embeds):
    return list(animate(load_pipeline(location, CPU, torch.bfloat16), conditioning(22), SETTINGS, *embeds))


def failing(function, on_call: int, error: Exception = NO_MEMORY):
    """`function`, but its call number `on_call` raises."""
    calls = []

    def call(*args, **kwargs):
        calls.append(1)
        if len(calls) == on_call:
            raise error
        return function(*args, **kwargs)

    return call


def test_a_segment_that_fails_while_denoising_is_made_again_from_the_same_noise(
    pipeline, embeds, undisturbed, monkeypatch
):
    network = pipeline.transformer
    monkeypatch.setattr(network, "denoise", failing(network.denoise, 6 + 4))  # in the second segment of 6 passes
    tried = []
    frames = list(animate(pipeline, conditioning(22), SETTINGS, *embeds, make_room=tried.append))
    assert tried == [1]
    assert len(frames) == 22 and np.array_equal(frames, undisturbed)


def test_a_segment_that_fails_while_decoding_goes_on_behind_the_frames_it_gave(
    pipeline, embeds, undisturbed, monkeypatch
):
    decoder = pipeline.vae.decoder
    monkeypatch.setattr(decoder, "forward", failing(decoder.forward, 3))
    tried, steps = [], []
    job = animate(
        pipeline,
        conditioning(22),
        SETTINGS,
        *embeds,
        on_step=lambda segment, step: steps.append(segment),
        make_room=tried.append,
    )
    frames = list(job)
    assert tried == [0] and steps.count(0) == SETTINGS.num_inference_steps  # the latents were kept
    assert len(frames) == 22 and np.array_equal(frames, undisturbed)


def test_a_second_failure_of_the_same_segment_ends_the_job(pipeline, embeds, monkeypatch):
    def fail(*_, **__):
        raise MemoryError

    monkeypatch.setattr(pipeline.transformer, "denoise", fail)
    tried = []
    with pytest.raises(MemoryError):
        list(animate(pipeline, conditioning(22), SETTINGS, *embeds, make_room=tried.append))
    assert tried == [0]


def test_other_errors_are_not_tried_again(pipeline, embeds, monkeypatch):
    network = pipeline.transformer
    monkeypatch.setattr(network, "denoise", failing(network.denoise, 2, RuntimeError("shapes do not match")))
    with pytest.raises(RuntimeError, match="shapes"):
        list(animate(pipeline, conditioning(22), SETTINGS, *embeds, make_room=lambda _: pytest.fail("tried again")))


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
        RuntimeError("MPS backend out of memory (MPS allocated: 17.10 GB). Tried to allocate 256 bytes."),
        NO_MEMORY,
    ],
)
def test_every_device_has_its_own_way_to_say_that_memory_ran_out(error):
    assert is_out_of_memory(error)
    assert not is_out_of_memory(RuntimeError("CUDA error: an illegal memory access was encountered"))


def plan(**changes) -> MemoryPlan:
    nothing = MemoryPlan("bfloat16", "none", "none", False, Estimate({"decoding": 1}, 0, 0))
    return dataclasses.replace(nothing, **changes)


def test_refitting_to_tiles_keeps_the_weights(pipeline, location):
    network = pipeline.transformer
    refit(pipeline, location, CPU, plan(), plan(tiling=True))
    assert pipeline.transformer is network and pipeline.vae.use_tiling


def test_refitting_to_another_precision_loads_the_weights_again(pipeline, location, embeds):
    refit(pipeline, location, CPU, plan(), plan(quantisation="nf4", tiling=True))
    assert pipeline.transformer.blocks[0].ffn.net[2].weight.dtype == torch.uint8
    assert len(list(animate(pipeline, conditioning(9), SETTINGS, *embeds))) == 9


def test_blocks_that_wait_in_main_memory_give_the_same_frames(pipeline, location, embeds, undisturbed):
    refit(pipeline, location, CPU, plan(), plan(offload="blocks"))
    frames = list(animate(pipeline, conditioning(22), SETTINGS, *embeds))
    assert np.array_equal(frames, undisturbed)
