"""`python -m onetoall_cli` is `onetoall`."""

from onetoall_cli.cli import main

main()
