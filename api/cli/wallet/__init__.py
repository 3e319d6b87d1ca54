"""Commands about keys and coins."""
