"""What each benchmark is, as data (`benchmarks.yaml`): its set, the released settings, the published figures."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from pydantic import Field

from onetoall_cli.files.forms import Form, read_form

Options = Mapping[str, Any]  # of `animate` or `transfer`, by their names with underscores
_SIZES = {"short_side", "width", "height"}  # one way to say a size takes the place of the others


class Benchmark(Form):
    """A benchmark; `benchmarks.yaml` says what its fields mean."""

    title: str
    command: Literal["animate", "transfer"]
    entry: str | None = None
    layout: Literal["frames", "videos", "deepfashion"]
    clips: int
    protocol: Literal["disco", "cfld"]
    size: tuple[int, int] | None = None
    settings: Options
    own: dict[str, dict[str, Options]] = Field(default_factory=dict)
    paper: dict[str, dict[str, float]]
    variants: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def settings_of(self, model: str, clip: str, said: Options = MappingProxyType({})) -> Options:
        """The options by which a model makes a clip; `said` by the user are those that hold in any case."""
        own, settings = _of_model(self.own, model), self.settings
        for more in (_of_model(_file().sampling, model), own.get("all", {}), own.get(clip, {}), said):
            if _SIZES & set(more):
                settings = {name: value for name, value in settings.items() if name not in _SIZES}
            settings = {**settings, **more}
        return settings

    def changes(self) -> dict[str, Options]:
        """What `--variants` changes, by its name."""
        return {name: _file().variants[name] for name in self.variants}


class _File(Form):
    sampling: dict[str, Options]
    variants: dict[str, Options]
    benchmarks: dict[str, Benchmark]


@cache
def _file() -> _File:
    return read_form(_File, Path(__file__).with_name("benchmarks.yaml"), advice="Install onetoall again.")


def benchmark(name: str) -> Benchmark:
    """The benchmark of that name in `benchmarks.yaml`."""
    return _file().benchmarks[name]


def _of_model(by_model: Mapping[str, Mapping[str, Any]], model: str) -> Mapping[str, Any]:
    """What stands under the name that a model's begins with: `1.3b` for `1.3b-v1`, `14b` for `14b-nf4`."""
    return next((found for name, found in by_model.items() if model == name or model.startswith(f"{name}-")), {})
