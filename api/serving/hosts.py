"""Which hosts a server answers for. A page that rebinds its own name to this machine sends another Host."""

import re
from dataclasses import dataclass

_LOOPBACK_HOSTS = frozenset({"localhost", "::1"})
# Matched as a whole: 127.0.0.1.example.org is a name that anyone can point at this machine.
_LOOPBACK_ADDRESS = re.compile(r"127(\.[0-9]{1,3}){3}")


@dataclass(frozen=True, slots=True)
class Hosts:
    """The hosts that one server answers for."""

    loopback: bool  # the server listens on a loopback address only
    named: frozenset[str]  # that are answered besides loopback names; if empty on a public bind, every host is
    own: str = ""  # the host that the server binds to; always answered

    def answers_for(self, name: str) -> bool:
        """Whether requests to a host are answered; `name` without port and brackets."""
        if not self.loopback and not self.named:
            return True
        return is_loopback_name(name) or name in self.named or (self.own != "" and name == self.own)


def name_of(host: str) -> str:
    """The name in a Host header, without its port and brackets."""
    name, _, port = host.rpartition(":")
    return (name if port.isdigit() else host).strip("[]").lower()


def is_loopback_name(name: str) -> bool:
    """Whether a host name or address, without brackets, is this machine's own."""
    return name in _LOOPBACK_HOSTS or _LOOPBACK_ADDRESS.fullmatch(name) is not None
