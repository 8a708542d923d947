"""Plans for simulated machines: what is chosen, in which order plans get smaller, and what is refused."""

import itertools
from dataclasses import replace

import pytest
import torch
from diffusers import AutoencoderKLWan

from onetoall_cli.errors import BadInput, OutOfResources
from onetoall_cli.model import CONFIG_1_3B
from onetoall_cli.model.configs import CONFIG_14B
from onetoall_cli.runtime import MemoryPlan, Wishes, choose_plan, fits, possible_plans
from onetoall_cli.runtime.machine import Memory
from onetoall_cli.runtime.memory import Workload, config_json

# small enough to be traced in no time
SMALL = {**CONFIG_1_3B, "num_attention_heads": 2, "ffn_dim": 512, "num_layers": 3, "num_reference_layers": 1}
SIZES = {"released": (384, 672), "full": (480, 832)}
NETWORKS = {"1.3b": CONFIG_1_3B, "14b": CONFIG_14B}
GPU = torch.device("cuda")
GB = 10**9


def config_of_vae(**changes) -> str:
    with torch.device("meta"):
        return config_json(AutoencoderKLWan(**changes).config)


WAN_VAE = config_of_vae()
SMALL_WORK = Workload(config_json(SMALL), config_of_vae(base_dim=8, num_res_blocks=1), 128, 128, 29)


def gigabytes(size: float, device: str = "GPU") -> Memory:
    return Memory(device, int(size * GB), int(size * GB))


@pytest.fixture(scope="module")
def plans():
    """The plans of a network at a size on a GPU; each is traced once."""
    made: dict[tuple, list[MemoryPlan]] = {}

    def plans_of(network: str, size: str = "full", wishes: Wishes = Wishes()) -> list[MemoryPlan]:
        key = (network, size, wishes)
        if key not in made:
            work = Workload(config_json(NETWORKS[network]), WAN_VAE, *SIZES[size], 81)
            made[key] = possible_plans(work, GPU, [torch.bfloat16], wishes)
        return made[key]

    return plans_of


def chosen(plans: list[MemoryPlan], free: float, main_memory: float = 64, level: str = "auto") -> tuple[str, str, bool]:
    plan = choose_plan(plans, level, gigabytes(free), gigabytes(main_memory, "CPU"))
    return plan.quantisation, plan.offload, plan.tiling


RESIDENT = ("none", "none", False)
OFFLOADED = ("none", "blocks", False)


@pytest.mark.parametrize(
    ("network", "size", "free", "expected"),
    [
        ("1.3b", "full", 80, RESIDENT),
        ("1.3b", "full", 24, RESIDENT),
        ("1.3b", "full", 12, RESIDENT),
        ("1.3b", "full", 8, OFFLOADED),
        ("1.3b", "released", 8, OFFLOADED),
        ("1.3b", "full", 4, ("none", "blocks", True)),
        ("14b", "full", 80, RESIDENT),
        ("14b", "full", 24, OFFLOADED),
        ("14b", "full", 12, OFFLOADED),
        ("14b", "released", 8, OFFLOADED),
    ],
)
def test_the_plan_for_a_gpu_beside_64_gb_of_main_memory(plans, network, size, free, expected):
    assert chosen(plans(network, size), free) == expected


def test_with_little_main_memory_14b_is_quantised_instead_of_offloaded(plans):
    assert chosen(plans("14b"), 24, main_memory=32) == ("nf4", "none", False)
    assert chosen(plans("14b"), 32, main_memory=32) == ("int8", "none", False)


def test_on_cards_with_fp8_it_comes_before_int8(monkeypatch):
    work = Workload(config_json(CONFIG_14B), WAN_VAE, *SIZES["full"], 81)
    monkeypatch.setattr("onetoall_cli.runtime.plan.has_fp8", lambda device: True)
    plans = possible_plans(work, GPU, [torch.bfloat16])
    assert chosen(plans, 32, main_memory=32) == ("fp8", "none", False)
    assert chosen(plans, 32) == OFFLOADED
    assert chosen(plans, 24, main_memory=32) == ("nf4", "none", False)


def test_a_share_of_the_tokens_takes_less_to_denoise_and_nothing_else_changes():
    whole, shared = (
        possible_plans(replace(SMALL_WORK, token_shards=shards), GPU, [torch.bfloat16])[0].estimate.phases
        for shards in (1, 4)
    )
    assert shared["denoising"] < whole["denoising"]
    assert {**shared, "denoising": 0} == {**whole, "denoising": 0}


def test_nothing_that_fits_is_an_error_that_says_what_is_needed_and_free(plans):
    with pytest.raises(OutOfResources, match=r"about 1\d\.\d GB\) does not fit the 8\.0 GB that are free") as raised:
        choose_plan(plans("14b"), "auto", gigabytes(8), gigabytes(16, "CPU"))
    assert "--short-side" in raised.value.advice and raised.value.exit_code == 4


def test_levels_are_taken_whether_they_fit_or_not(plans):
    assert chosen(plans("14b"), 8, level="high") == RESIDENT
    assert chosen(plans("1.3b"), 80, level="balanced") == ("none", "blocks", True)
    assert chosen(plans("1.3b"), 80, main_memory=4, level="balanced") == ("none", "none", True)
    assert chosen(plans("14b"), 80, main_memory=16, level="low") == ("nf4", "none", False)


def test_every_next_plan_takes_less(plans):
    plan: MemoryPlan | None = choose_plan(plans("1.3b"), "high", gigabytes(80), gigabytes(64, "CPU"))
    chain = []
    while plan is not None:
        chain.append(plan)
        plan = plan.smaller
    assert len(chain) >= 3
    assert all(later.estimate.peak < earlier.estimate.peak for earlier, later in itertools.pairwise(chain))


def test_a_plan_fits_only_with_the_margin_of_the_memory_model(plans):
    plan = plans("1.3b")[0]
    assert fits(plan, gigabytes(plan.estimate.peak * 1.16 / GB))
    assert not fits(plan, gigabytes(plan.estimate.peak * 1.14 / GB))


def test_wishes_leave_the_rest_to_the_plan(plans):
    assert chosen(plans("1.3b", wishes=Wishes(quantisation="int8")), 80) == ("int8", "none", False)
    assert chosen(plans("1.3b", wishes=Wishes(offload="blocks")), 80) == OFFLOADED
    assert chosen(plans("1.3b", wishes=Wishes(tiling=True)), 80) == ("none", "none", True)
    assert {plan.offload for plan in plans("1.3b", wishes=Wishes(offload="none"))} == {"none"}


@pytest.mark.parametrize(
    ("device", "wishes", "stored_as", "message"),
    [
        ("cpu", Wishes(offload="blocks"), "none", "in main memory anyway"),
        ("cuda", Wishes(offload="blocks", quantisation="nf4"), "none", "block by block"),
        ("mps", Wishes(quantisation="int8"), "none", "NVIDIA"),
        ("cuda", Wishes(quantisation="nf4"), "int8", "stored as int8"),
    ],
)
def test_wishes_that_cannot_be_met_are_refused(device, wishes, stored_as, message):
    with pytest.raises(BadInput, match=message):
        possible_plans(SMALL_WORK, torch.device(device), [torch.bfloat16], wishes, stored_as=stored_as)


def test_a_copy_that_is_stored_quantised_is_used_as_it_is():
    plans = possible_plans(SMALL_WORK, GPU, [torch.bfloat16], stored_as="nf4")
    assert {(plan.quantisation, plan.offload) for plan in plans} == {("nf4", "none")}


def test_on_a_cpu_half_the_precision_comes_before_quantising():
    plans = possible_plans(SMALL_WORK, torch.device("cpu"), [torch.float32, torch.bfloat16])
    assert {plan.offload for plan in plans} == {"none"}
    main_memory = gigabytes(plans[0].estimate.peak / GB, "CPU")
    plan = choose_plan(plans, "auto", main_memory, main_memory)
    assert (plan.dtype, plan.quantisation) == ("bfloat16", "none")


def test_memory_grows_with_size_frames_and_width():
    work, wider = SMALL_WORK, config_json({**SMALL, "num_attention_heads": 4})
    larger = [replace(work, height=192), replace(work, frames=49), replace(work, network=wider)]

    def phases(each: Workload) -> dict[str, int]:
        (plan,) = possible_plans(each, GPU, [torch.bfloat16], Wishes("none", "none", False))
        return dict(plan.estimate.phases)

    before = phases(work)
    for each in larger:
        assert phases(each)["denoising"] > 1.02 * before["denoising"]
    assert phases(larger[1])["decoding"] == pytest.approx(before["decoding"], rel=0.02)  # frames are not collected
