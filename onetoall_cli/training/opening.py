"""The source of a run's clips, opened from its settings."""

from collections.abc import Callable

from onetoall_cli.training.enhancement import PosePool
from onetoall_cli.training.latents import LatentCache
from onetoall_cli.training.picture_pairs import PictureSource, VideosAndPictures
from onetoall_cli.training.recipe import TrainingSettings
from onetoall_cli.training.sources import PUPPET_FPS, ClipSource, PuppetSource, load_motions, load_pool, puppet_pool
from onetoall_cli.training.videos import VideoSource

Progress = Callable[[int, int | None], None]


def open_source(
    settings: TrainingSettings,
    latents: LatentCache | None,
    progress: Progress | None = None,
    note: Callable[[str], None] | None = None,
) -> ClipSource:
    """Open the source of a run's clips. Poses of new videos and pictures are detected first.

    Args:
        settings: The run's settings.
        latents: Its cache of encoded windows.
        progress: Counts the videos, then the pictures.
        note: Called with lines on what was found in them.

    Raises:
        BadInput: The data cannot be used.
        ModelMissing: The pose detector is not installed.
    """
    data = settings.data
    pool = load_pool(data.pose_pool) if data.pose_pool else puppet_pool("train")
    if data.source == "puppets":
        motions = load_motions(data.motions) if data.motions else []
        return PuppetSource(
            clips=data.clips,
            fps=settings.fps or PUPPET_FPS,
            motions=motions,
            motion_share=data.motion_share,
            cache=latents,
            pool=pool,
        )
    pictures = _open_pictures(settings, latents, pool, progress, note) if data.pairs else None
    if data.source == "pictures":
        assert pictures is not None
        return pictures
    videos = _open_videos(settings, latents, pool, progress, note)
    return VideosAndPictures(videos, pictures) if pictures else videos


def _open_videos(
    settings: TrainingSettings,
    latents: LatentCache | None,
    pool: PosePool,
    progress: Progress | None,
    note: Callable[[str], None] | None,
) -> ClipSource:
    data = settings.data
    assert data.folder is not None
    return VideoSource(
        data.folder,
        frames=settings.frames,
        fps=settings.fps,
        aspects=settings.aspects,
        cache=settings.cache,
        latents=latents,
        pool=pool,
        detector=data.detector,
        ignore=data.ignore,
        strict=data.strict,
        progress=progress,
        note=note,
    )


def _open_pictures(
    settings: TrainingSettings,
    latents: LatentCache | None,
    pool: PosePool,
    progress: Progress | None,
    note: Callable[[str], None] | None,
) -> PictureSource:
    assert settings.data.pairs is not None
    return PictureSource(
        settings.data.pairs,
        aspects=settings.aspects,
        cache=settings.cache,
        latents=latents,
        pool=pool,
        detector=settings.data.detector,
        progress=progress,
        note=note,
    )
