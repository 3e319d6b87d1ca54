"""Tests of the real lab: its router on loopback sockets."""
