"""`onetoall`, and `python -m onetoall_cli`: signals are minded before the command line is imported."""

from typing import NoReturn

from onetoall_cli.stopping import remember_signals


def main() -> NoReturn:
    """Entry point of the `onetoall` script."""
    remember_signals()
    from onetoall_cli import cli

    cli.main()


if __name__ == "__main__":
    main()
