"""Sampling of frames: guidance, segments, the pipeline of one segment and the loop over a whole motion."""

from onetoall_cli.sampling.guidance import Pass, guidance_weights
from onetoall_cli.sampling.loading import load_pipeline, refit, save_model
from onetoall_cli.sampling.motion import SamplingSettings, SegmentState, animate
from onetoall_cli.sampling.pipeline import OneToAllPipeline, OneToAllPipelineOutput
from onetoall_cli.sampling.segments import Segment, plan_segments

__all__ = [
    "OneToAllPipeline",
    "OneToAllPipelineOutput",
    "Pass",
    "SamplingSettings",
    "Segment",
    "SegmentState",
    "animate",
    "guidance_weights",
    "load_pipeline",
    "plan_segments",
    "refit",
    "save_model",
]
