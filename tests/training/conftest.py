"""What several training tests share: a micro VAE and a micro network's sizes, so that a run takes a second."""

from functools import partial

import pytest

MICRO_NETWORK = {
    "num_attention_heads": 2,
    "attention_head_dim": 32,
    "text_dim": 8,
    "ffn_dim": 64,
    "num_layers": 4,
    "num_reference_layers": 1,
    "num_pose_layers": 2,
}
MICRO_VAE = {"base_dim": 8, "num_res_blocks": 1, "dim_mult": (1, 1, 1, 1)}


@pytest.fixture(scope="session")
def micro_network() -> dict:
    return MICRO_NETWORK


@pytest.fixture(scope="session")
def micro_vae(tmp_path_factory):
    """The folder of an untrained VAE in diffusers' layout."""
    from onetoall_cli.training.vae import build_vae
    from onetoall_cli.training.vae_data import Phase, VaeNetworkSettings, VaeSettings

    folder = tmp_path_factory.mktemp("vae") / "vae"
    model = VaeNetworkSettings(**MICRO_VAE)
    settings = VaeSettings(output=folder.parent, phases=(Phase(steps=1, batch=1),), model=model)
    build_vae(settings).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def micro_settings(micro_vae, micro_network):
    """Makes the settings of a run on one CPU core that takes a second; the arguments are the test's own settings."""
    from onetoall_cli.training.recipe import NetworkSettings, Resolution, TrainingSettings

    return partial(
        TrainingSettings,
        vae=micro_vae,
        model=NetworkSettings(**micro_network),
        frames=13,
        batch=1,
        resolutions=(Resolution(short_side=32),),
        aspects=(2 / 3,),
        pose_canvas_short_side=64,
        bf16=False,
        sample_every=0,
        workers=0,
        threads=1,
    )


@pytest.fixture(autouse=True)
def fresh_accelerator():
    """Let each test choose its own precision: accelerate keeps one state a process."""
    yield
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(reset_partial_state=True)
