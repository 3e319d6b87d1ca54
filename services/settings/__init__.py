"""What an operator can set: the table of settings, and how each kind of value is read."""
