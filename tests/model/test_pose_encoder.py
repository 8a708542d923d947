"""The pose encoder in chunks: the same numbers as in one go, in a fraction of the memory."""

import copy

import pytest
import torch
import torch.nn.functional as F
from allocation import peak_bytes

from onetoall_cli.model import pose
from onetoall_cli.model.pose import PoseEncoder


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    encoder = PoseEncoder(channels=16, width=24)
    for name, parameter in encoder.named_parameters():
        if "norm" in name:  # untrained norms would hide a wrong use of their weights
            torch.nn.init.normal_(parameter, mean=1.0 if name.endswith("weight") else 0.0, std=0.3)
    return encoder.eval()


def encode_plainly(encoder: PoseEncoder, video: torch.Tensor) -> torch.Tensor:
    """The definition, on whole tensors."""

    def conv(layer, frames):
        return F.conv3d(
            F.pad(frames, (1, 1, 1, 1, 2, 0), mode="replicate"), layer.weight, layer.bias, stride=layer.stride
        )

    def norm(layer, frames):
        return F.group_norm(frames, 4, layer.weight, layer.bias, eps=1e-6)

    video = conv(encoder.conv_in, video)
    for stage in encoder.stages:
        update = conv(stage.conv1, F.silu(norm(stage.norm1, video)))
        update = conv(stage.conv2, F.silu(norm(stage.norm2, update)))
        video = conv(stage.downsample, video + update)
    return conv(encoder.conv_out, video)


def in_chunks_of(frames: int, video: torch.Tensor, monkeypatch) -> None:
    batch, _, _, height, width = video.shape
    monkeypatch.setattr(pose, "CHUNK_PIXELS", frames * batch * height * width)


@pytest.mark.parametrize("frames", [1, 13])
@pytest.mark.parametrize("chunk", [1, 3, 4])
@torch.no_grad()
def test_chunks_of_any_length_give_what_the_whole_video_gives(encoder, monkeypatch, frames, chunk):
    video = torch.rand(1, 3, frames, 32, 48) * 2 - 1
    in_chunks_of(chunk, video, monkeypatch)
    features = encoder(video)
    assert features.shape == (1, 24, (frames - 1) // 4 + 1, 2, 3)
    torch.testing.assert_close(features, encode_plainly(encoder, video), atol=2e-6, rtol=1e-5)


@torch.no_grad()
def test_one_frame_alone_is_convolved_as_three_equal_ones(encoder):
    for convolution in (encoder.conv_in, encoder.stages[1].downsample):
        frame = torch.randn(2, convolution.in_channels, 1, 10, 12)
        torch.testing.assert_close(convolution(frame), convolution(frame.expand(-1, -1, 3, -1, -1)))


@torch.no_grad()
def test_each_sample_of_a_batch_has_its_own_statistics(encoder, monkeypatch):
    video = torch.cat([torch.rand(1, 3, 9, 32, 32) * 2 - 1, torch.full((1, 3, 9, 32, 32), 0.25)])
    in_chunks_of(2, video, monkeypatch)
    torch.testing.assert_close(encoder(video), encode_plainly(encoder, video), atol=2e-6, rtol=1e-5)


@torch.no_grad()
def test_a_bright_video_keeps_its_contrast(encoder, monkeypatch):
    """Mean far above deviation: statistics from sums of squares would lose the variance."""
    video = 50 + torch.rand(1, 3, 9, 32, 32) * 1e-2
    in_chunks_of(2, video, monkeypatch)
    expected = encode_plainly(encoder.double(), video.double()).float()
    torch.testing.assert_close(encoder.float()(video), expected, atol=2e-3, rtol=1e-2)


def test_gradients_flow_and_equal_those_of_the_whole_video(encoder, monkeypatch):
    video = torch.rand(1, 3, 9, 32, 32) * 2 - 1
    in_chunks_of(2, video, monkeypatch)
    parameters = list(encoder.parameters())
    gradients = torch.autograd.grad(encoder(video).square().mean(), parameters)
    expected = torch.autograd.grad(encode_plainly(encoder, video).square().mean(), parameters)
    for gradient, value in zip(gradients, expected, strict=True):
        torch.testing.assert_close(gradient, value, atol=1e-5, rtol=1e-3)


@torch.no_grad()
def test_peak_memory_is_a_fraction_of_the_whole_videos(encoder, monkeypatch):
    video = torch.rand(1, 3, 33, 48, 48) * 2 - 1
    whole = peak_bytes(lambda: encode_plainly(encoder, video))
    in_chunks_of(2, video, monkeypatch)
    chunked = peak_bytes(lambda: encoder(video))
    assert chunked < 0.3 * whole


@torch.no_grad()
def test_peak_memory_grows_only_by_what_is_kept(encoder, monkeypatch):
    """Twice the frames: the kept stage outputs double (they are an eighth of a plain run's tensors), the rest stays."""
    short, long = (torch.rand(1, 3, frames, 48, 48) * 2 - 1 for frames in (17, 33))
    in_chunks_of(2, short, monkeypatch)
    growth = peak_bytes(lambda: encoder(long)) - peak_bytes(lambda: encoder(short))
    one_activation = 16 * 16 * 48 * 48 * 4  # what 16 more frames of 16 channels would take at full resolution
    assert growth < 0.5 * one_activation


@torch.no_grad()
def test_bfloat16_is_not_widened_on_the_way(encoder):
    """Residual, padded input, convolution and activation: seven tensors at most, none of them in float32."""
    narrow = copy.deepcopy(encoder).to(torch.bfloat16)
    video = (torch.rand(1, 3, 17, 64, 64) * 2 - 1).bfloat16()
    one_activation = 16 * 17 * 64 * 64 * 2
    assert peak_bytes(lambda: narrow(video)) < 7.5 * one_activation
    expected = encoder(video.float())
    assert (narrow(video).float() - expected).norm() < 0.02 * expected.norm()
