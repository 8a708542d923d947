"""Video and picture files in and out: frames, clock, sound, orientation, colour (PyAV and Pillow)."""

from onetoall_cli.media.audio import Audio
from onetoall_cli.media.containers import PICTURE_ENDINGS, VIDEO_ENDINGS, picture_format, video_format
from onetoall_cli.media.folders import FrameFolderWriter
from onetoall_cli.media.pictures import read_picture, side_by_side, write_picture
from onetoall_cli.media.probe import MediaInfo, probe, read_metadata
from onetoall_cli.media.reader import open_video
from onetoall_cli.media.sheet import contact_sheet, picture_grid
from onetoall_cli.media.stills import video_of_frames
from onetoall_cli.media.video import Frame, Video
from onetoall_cli.media.writer import VideoWriter

__all__ = [
    "PICTURE_ENDINGS",
    "VIDEO_ENDINGS",
    "Audio",
    "Frame",
    "FrameFolderWriter",
    "MediaInfo",
    "Video",
    "VideoWriter",
    "contact_sheet",
    "open_video",
    "picture_format",
    "picture_grid",
    "probe",
    "read_metadata",
    "read_picture",
    "side_by_side",
    "video_format",
    "video_of_frames",
    "write_picture",
]
