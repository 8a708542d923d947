"""The carried frames are one constant: another number changes segments, memory estimate, commands and bench alike."""

import subprocess
import sys

SCRIPT = """
import onetoall_cli.lattice as lattice
lattice.CONTEXT_FRAMES = 9
lattice.CONTEXT_LATENTS = lattice.latent_frames(9)

import torch
from diffusers import AutoencoderKLWan
from onetoall_cli.bench.measure import BenchJob
from onetoall_cli.bench.scaling import series
from onetoall_cli.runtime import memory
from onetoall_cli.sampling import pipeline, plan_segments

first, second = plan_segments(100)
assert (first.context, second.context) == (0, 9), (first, second)
assert second.start == first.length - 9
assert plan_segments(100, has_context=True)[0].context == 9

seen = []
class Recorder:
    def encode(self, pictures):
        seen.append(pictures.shape[2])
memory._empty_vae = lambda config, dtype: Recorder()
memory._encoding("{}", 16, 16, True, "cpu", torch.float32)
memory._encoding("{}", 16, 16, False, "cpu", torch.float32)
assert seen == [9, 1], seen

long_videos = [job.frames for name, _, job in series(BenchJob("step", "tiny", None, 64, 64, 13)) if name == "segments"]
assert long_videos[1] - long_videos[0] == 13 - 9, long_videos

latents = pipeline._with_context(torch.zeros(1, 16, 5, 2, 2), torch.ones(1, 16, 3, 2, 2))
assert latents.sum(dim=(0, 1, 3, 4)).tolist() == [64, 64, 64, 0, 0]

from onetoall_cli.animator.animator import _last_frames
from onetoall_cli.errors import BadInput
from onetoall_cli.media import video_of_frames
import numpy as np
clip = video_of_frames(np.zeros((8, 16, 16, 3), np.uint8), 10)
try:
    _last_frames(clip)
    raise SystemExit("8 frames were enough")
except BadInput as error:
    assert "9 are needed" in error.problem, error
"""


def test_another_number_of_carried_frames_changes_everything_that_depends_on_it() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
