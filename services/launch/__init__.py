"""Starting a node's processes on one machine, its Valkey included, and keeping them running."""
