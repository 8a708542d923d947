"""The command line. Each module here parses, calls the library and reports; nothing else prints."""

from onetoall_cli.cli import (
    align,
    animate,
    batch,
    bench,
    completion,
    demo,
    doctor,
    evaluate,
    extend,
    fetch,
    info,
    pose,
    prompt_embeds,
    train,
    transfer,
)
from onetoall_cli.cli.app import GroupedHelp, app, main

# in the order of `onetoall --help`
for _command in (
    demo.demo,
    animate.animate,
    transfer.transfer,
    extend.extend,
    batch.batch,
    pose.pose,
    align.align,
    info.info,
    fetch.fetch,
    prompt_embeds.prompt_embeds,
    doctor.doctor,
    bench.bench,
    train.train,
    evaluate.evaluate,
    completion.completion,
):
    app.command(cls=GroupedHelp)(_command)

__all__ = ["app", "main"]
