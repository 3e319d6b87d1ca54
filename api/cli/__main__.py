"""`python -m api.cli`: the command line where the `quarry` script is not installed."""

from api.cli import main

main()
