"""`Engine`: a model found once, loaded when it is first needed, and run as often as asked."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKLWan
from numpy.typing import NDArray

from onetoall_cli.alignment import Conditioning
from onetoall_cli.animator.kept_segments import KeptSegments
from onetoall_cli.animator.plans import RunPlan, make_plan
from onetoall_cli.animator.progress import DENOISING, WRITING, Listener
from onetoall_cli.animator.resolving import Resolved, distillation_of, find_loras, resolve
from onetoall_cli.animator.settings import ModelSettings, Settings
from onetoall_cli.errors import BadInput, OutOfResources
from onetoall_cli.hub import ModelLocation
from onetoall_cli.runtime import (
    MemoryPlan,
    compute_deterministically,
    pick_device,
    pick_dtype,
    processes,
    return_freed_memory,
    why_not_repeatable,
)
from onetoall_cli.runtime.parallel import Parallel, choose_parallel
from onetoall_cli.sampling import OneToAllPipeline, animate, load_pipeline, refit
from onetoall_cli.sampling.kernels import choose_attention, compile_blocks, kernel_for
from onetoall_cli.sampling.parallel import LedPipeline, Team, share_tiles
from onetoall_cli.sampling.presets import Approximation
from onetoall_cli.sampling.previews import Preview
from onetoall_cli.weights import load_vae, network_config, prompt_embeddings
from onetoall_cli.weights.network import empty_network


class Engine:
    """A model on this machine.

    Its weights are loaded by the first run, in the way that fits the memory then, and stay for the next ones.

    Args:
        location: Where the model is.
        settings: How it is loaded.
        listener: Told of choices and progress.

    Raises:
        ModelMissing: Its files hold no One-to-All network.
        BadInput: The device or a LoRA is not here.
    """

    def __init__(self, location: ModelLocation, settings: ModelSettings, listener: Listener) -> None:
        self.location, self.settings, self.listener = location, settings, listener
        network_config(location)  # weights of another network are named at once
        compute_deterministically()
        self.device = pick_device(processes.local_device(settings.device))
        self._distilled = distillation_of(location.name, settings)
        self.loras = find_loras(settings, listener, self._distilled)
        why = why_not_repeatable(self.device, settings.attention)
        if why is not None:
            listener.note(why)
        self._embeds: dict[str, torch.Tensor] = {}
        self._pipeline: OneToAllPipeline | None = None
        self._loaded: MemoryPlan | None = None  # what `_pipeline` follows
        self._team: Team | None = None

    def resolved(self, settings: Settings = Settings()) -> Resolved:
        """How a run with these settings samples, nothing left open.

        Raises:
            BadInput: A setting that cannot be.
        """
        distilled = self._distilled.sampling if self._distilled else None
        draft = settings.size.draft
        return resolve(settings.generation, self.settings, self.location.defaults, distilled, draft=draft)

    def ready(self, settings: Settings) -> Resolved:
        """The settings made whole, and the prompts' embeddings at hand: what is wrong shows before any detection."""
        resolved = self.resolved(settings)
        if resolved.remark:
            self.listener.note(resolved.remark)
        self._parallel(resolved)
        self._prompt_embeds(resolved)
        return resolved

    def _prompt_embeds(self, resolved: Resolved) -> list[torch.Tensor]:
        """Of the prompt and the negative one, (1, L, C) each."""
        texts = [resolved.generation.prompt, str(resolved.generation.negative_prompt)]
        absent = [text for text in dict.fromkeys(texts) if text not in self._embeds]
        if absent:
            made = prompt_embeddings(self.location, absent, device=self.device, note=self.listener.note)
            self._embeds.update(zip(absent, made, strict=True))
        return [self._embeds[text] for text in texts]

    def plan(self, resolved: Resolved, width: int, height: int, frames: int, *, has_context: bool = False) -> RunPlan:
        """What a run of these sizes (pixels, frames) would do on this machine as it is now; see `make_plan`.

        Raises:
            OutOfResources, BadInput: As `make_plan`.
        """
        return make_plan(
            self.location,
            self.device,
            self.settings,
            resolved,
            self._parallel(resolved),
            self.listener,
            held=self._loaded.estimate.weights if self._loaded else 0,
            width=width,
            height=height,
            frames=frames,
            has_context=has_context,
        )

    def generate(
        self,
        conditioning: Conditioning,
        resolved: Resolved,
        plan: RunPlan,
        context: Sequence[NDArray[np.uint8]] | None = None,
        kept: KeptSegments | None = None,
        preview: Callable[[Preview], None] | None = None,
    ) -> Iterator[NDArray[np.uint8]]:
        """The frames of a run, uint8 (H, W, 3), as they are decoded; `Result` calls it.

        Args:
            conditioning: Aligned input.
            resolved: How to sample.
            plan: From `plan`.
            context: The last frames of a clip that is continued; they are not yielded again.
            kept: Segments that are made already, and where to keep the others; None: nothing is kept.
            preview: Called with previews, as the listener's is.
        """
        frames = plan.frames - len(context or ())
        wanted = [each for each in (preview, self.listener.preview) if each is not None]
        made = self._sampled(conditioning, resolved, plan, context, kept, wanted)
        if kept is not None:
            made = chain(kept.frames(), kept.recording(made))
        for number, frame in enumerate(made, start=1):
            yield frame
            self.listener.progress(WRITING, number, frames)

    def _sampled(
        self,
        conditioning: Conditioning,
        resolved: Resolved,
        plan: RunPlan,
        context: Sequence[NDArray[np.uint8]] | None,
        kept: KeptSegments | None,
        previews: Sequence[Callable[[Preview], None]],
    ) -> Iterator[NDArray[np.uint8]]:
        """The frames that are not kept yet; the model is loaded if there are any."""
        done, steps = kept.done if kept else 0, plan.steps * len(plan.segments)
        self.listener.progress(DENOISING, done * plan.steps, steps)
        if done == len(plan.segments):
            return
        if self.settings.processes > 1 and self._team is None:
            self._meet(plan.parallel)
        pipeline = self.pipeline_for(plan.memory)
        self._set_up(resolved.approximation, resolved.shift)
        if not self.location.defaults.reference_pose:
            conditioning = replace(conditioning, reference_pose=np.zeros_like(conditioning.reference_pose))

        def on_step(segment: int, step: int) -> None:
            self.listener.progress(DENOISING, segment * plan.steps + step, steps)

        def on_preview(preview: Preview) -> None:
            for show in previews:
                show(preview)

        yield from animate(
            pipeline if self._team is None else LedPipeline(pipeline),
            conditioning,
            resolved.sampling,
            *self._prompt_embeds(resolved),
            context_frames=context,
            begin=kept.state if kept else None,
            on_step=on_step,
            on_segment=kept.finish if kept else None,
            on_preview=on_preview if previews else None,
            make_room=None if self._team else self._room_maker(resolved),  # the others could not come after
        )

    def pipeline_for(self, plan: MemoryPlan) -> OneToAllPipeline:
        """The loaded model, placed as `plan` says; loaded now unless it follows that plan already."""
        if self._pipeline is not None and self._loaded is not None and self._loaded.same_place(plan):
            return self._pipeline
        self._order("pipeline_for", plan)
        self._pipeline = None  # before the new weights come
        if self.device.type == "cpu":
            return_freed_memory()
        self._pipeline = load_pipeline(
            self.location,
            self.device,
            getattr(torch, plan.dtype),
            loras=self.loras,
            quantisation=plan.quantisation,
            offload=plan.offload,
            tiling=plan.tiling,
        )
        self._pipeline.set_progress_bar_config(disable=True)
        self._loaded = plan
        self._set_up_network()
        return self._pipeline

    def _set_up_network(self) -> None:
        assert self._pipeline is not None and self._loaded is not None
        if self._team is not None:
            self._team.set_up(self._pipeline)
        choose_attention(self._pipeline.transformer, self.attention_of(self._loaded))
        if self.settings.compile:
            compile_blocks(self._pipeline.transformer)

    def attention_of(self, plan: MemoryPlan) -> str:
        """The attention kernel of a run that follows `plan`."""
        dtype = getattr(torch, plan.dtype)
        return kernel_for(self.settings.attention, self.device, dtype, compiled=self.settings.compile)

    @property
    def pipeline(self) -> OneToAllPipeline:
        """The loaded model; there is none before the first run."""
        assert self._pipeline is not None
        return self._pipeline

    @property
    def vae(self) -> AutoencoderKLWan:
        """The model's VAE: the loaded one's, or one of its own."""
        if self._pipeline is not None:
            return self._pipeline.vae
        return load_vae(self.location.vae, pick_dtype(self.settings.dtype, self.device)).to(self.device)

    def _room_maker(self, resolved: Resolved) -> Callable[[int], None]:
        """For `sampling.animate`: has the pipeline follow the next smaller plan when memory runs out, and says so."""

        def make_room(segment: int) -> None:
            plan = self._loaded
            assert plan is not None and self._pipeline is not None
            if plan.smaller is None:
                raise OutOfResources(
                    "Memory ran out, and there is no smaller plan.",
                    "Try a smaller --short-side or --segment-frames, or close other programs.",
                )
            smaller = plan.smaller
            self.listener.note(f"Memory ran out. Segment {segment + 1} is tried again with {smaller.prose()}.")
            self._loaded = smaller
            if refit(self._pipeline, self.location, self.device, plan, smaller, self.loras):
                self._set_up_network()
                self._set_up(resolved.approximation, resolved.shift)

        return make_room

    # -- with other processes -------------------------------------------------------------------------------------

    def _parallel(self, resolved: Resolved) -> Parallel:
        count, wanted = self.settings.processes, self.settings.parallel
        if count == 1 and wanted is None:
            return Parallel()
        heads = empty_network(self.location.transformer, network_config(self.location)).config["num_attention_heads"]
        passes, cache = resolved.guidance.most_passes, resolved.approximation.cache
        chosen = choose_parallel(count, wanted, passes=passes, heads=heads, cache=cache)
        if chosen.tokens > 1 and self.settings.compile:
            raise BadInput("Blocks that share their tokens cannot be compiled.", "Use --parallel guidance.")
        processes.check_devices(self.settings.device, count)
        return chosen

    def _meet(self, parallel: Parallel) -> None:
        processes.meet(self.device)
        processes.send_order(parallel)
        self._team = Team(parallel)

    def _order(self, method: str, *arguments: object) -> None:
        """Have the other processes do the same."""
        if self._team is not None and processes.rank() == 0:
            processes.send_order((method, arguments, {}))

    def _set_up(self, approximation: Approximation, shift: float) -> None:
        self._order("_set_up", approximation, shift)
        approximation.set_up(self.pipeline, shift)

    def dismiss(self) -> None:
        """Let the other processes end; without effect where there are none."""
        if self.settings.processes > 1:
            if self._team is None:
                processes.meet(self.device)
            processes.send_order(None)
            processes.part()
            self._team = None

    def follow(self, team: Team) -> None:
        """Do what the first process of `team` says, until it is done."""
        self._team = team
        subject: Any = None
        while (order := processes.next_order()) is not None:
            name, arguments, options = order
            if name == "encode_subject":
                subject = self.pipeline.encode_subject(*arguments)
            elif name == "generate":
                self.pipeline.generate(subject, **options)
            elif name == "decode":
                share_tiles(self.pipeline.vae, *arguments)
            else:
                getattr(self, name)(*arguments)
