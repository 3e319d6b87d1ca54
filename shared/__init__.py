"""What two nodes must agree on. Pure: no store, no sockets, no clock, no randomness, no environment."""
