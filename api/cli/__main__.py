"""`python -m api.cli` is `quarry`, also where the script is not installed."""

from api.cli import main

main()
