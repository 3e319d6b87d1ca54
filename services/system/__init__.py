"""The machine under a node: files, processes, logs, and text that is safe to print."""
