"""The version of this program."""

from importlib.metadata import version

# Looked up once, since it reads files.
VERSION = version("quarry")
