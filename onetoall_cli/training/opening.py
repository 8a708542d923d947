"""The source of a run's clips, opened from its settings."""

from collections.abc import Callable

from onetoall_cli.training.latents import LatentCache
from onetoall_cli.training.picture_pairs import VideosAndPictures, open_pictures
from onetoall_cli.training.preparation import Progress
from onetoall_cli.training.recipe import TrainingSettings
from onetoall_cli.training.sources import PUPPET_FPS, ClipSource, PuppetSource, load_motions, load_pool, puppet_pool
from onetoall_cli.training.videos import VideoSource, open_videos


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
    pictures = open_pictures(settings, latents, pool, progress, note) if data.pairs else None
    if data.source == "pictures":
        assert pictures is not None
        return pictures
    videos = open_videos(settings, latents, pool, progress, note)
    return VideosAndPictures(videos, pictures) if pictures else videos


def split_source(source: ClipSource, settings: TrainingSettings) -> tuple[ClipSource, ClipSource]:
    """A source without what is held out, and that: puppets of another split, or some of the videos.

    Raises:
        BadInput: There is but one video.
    """
    if isinstance(source, PuppetSource):
        return source, PuppetSource(split="validation", fps=source.fps, pool=source.pool)
    if isinstance(source, VideosAndPictures):
        trained, held = source.videos.split()
        return VideosAndPictures(trained, source.pictures), held
    assert isinstance(source, VideoSource)
    return source.split()
