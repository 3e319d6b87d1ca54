"""What adopting a peer's chain needs, whether by its headers (`header_chain`) or in one piece (`whole_chain`)."""

from dataclasses import dataclass

from services.chain.accept import Acceptor
from services.chain.reorganiser import Reorganiser
from services.peers.client import PeerClient
from services.ports import Clock
from services.store.chain import ChainStore
from shared.rules import Rules


@dataclass(eq=False)
class Adopter:
    """Our chain, how it grows and changes branch, and how peers are asked."""

    _chain: ChainStore
    _rules: Rules
    _acceptor: Acceptor
    _reorganiser: Reorganiser
    _client: PeerClient
    _clock: Clock
