"""`python -m rollbackd`."""

from rollbackd.cli import main

main()
