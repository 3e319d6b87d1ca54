"""Commands that start a node or look after one."""
