"""The version of this program."""

# Written here and not looked up: the code may run from a checkout that is not installed. pyproject.toml reads it.
VERSION = "0.1.0"
