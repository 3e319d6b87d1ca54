"""The built-in scenarios, each a file to read and to copy."""
