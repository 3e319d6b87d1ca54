"""Where the servers of a node are reached on this machine."""

# Addresses that stand for all, and where this machine reaches a server that binds them.
ALL_ADDRESSES = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def url_of(address: str, port: int, scheme: str = "http") -> str:
    """The URL, on this machine, of a server that binds to an address, or to a name."""
    host = ALL_ADDRESSES.get(address, address)
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
