"""What this program says of itself."""

from importlib.metadata import version

# Looked up once: that reads files.
VERSION = version("quarry")
