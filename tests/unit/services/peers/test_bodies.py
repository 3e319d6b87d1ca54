"""Which peer is asked for bodies."""

from dataclasses import replace

import pytest

from services.peers.bodies import BodySources, NoBodies
from services.peers.client import PeerClaim
from shared.forkchoice import TipClaim

CLAIM = PeerClaim("http://a:1", "ab" * 32, 100, TipClaim(100, "cd" * 32), kept_from=50)
WHOLE, SHORT = replace(CLAIM, url="http://b:1", kept_from=1), replace(CLAIM, url="http://c:1", kept_from=20, height=30)


def test_the_peer_itself_is_asked_for_what_it_has_and_nobody_else_is_asked_about() -> None:
    def others() -> list[PeerClaim]:
        raise AssertionError("nobody else is needed")

    sources = BodySources(CLAIM, others)
    source, most = sources.at(50)
    assert sources.is_own(source) and most >= 51
    assert sources.is_own(sources.at(100)[0])


def test_others_are_asked_for_the_rest_once_and_no_further_than_needed() -> None:
    asked: list[int] = []

    def others() -> list[PeerClaim]:
        asked.append(1)
        return [CLAIM, SHORT, WHOLE]

    sources = BodySources(CLAIM, others)
    assert sources.at(2) == (WHOLE, 48)
    assert sources.at(25) == (SHORT, 6)  # 25 to 30
    assert sources.at(31) == (WHOLE, 19)  # 31 to 49
    assert asked == [1]
    sources.drop(WHOLE, 31)
    assert sources.at(30) == (SHORT, 1)
    with pytest.raises(NoBodies, match=r"whole blocks from height 50 on.*block 31"):
        sources.at(31)


def test_a_peer_that_has_pruned_meanwhile_is_asked_again_further_on() -> None:
    sources = BodySources(CLAIM, lambda: [SHORT])
    sources.drop(sources.at(50)[0], 50)
    with pytest.raises(NoBodies, match="height 51 on"):
        sources.at(50)
    assert sources.is_own(sources.at(51)[0])  # nobody else has it, and it may
    whole = BodySources(CLAIM, lambda: [WHOLE])
    whole.drop(whole.at(50)[0], 50)
    assert whole.at(51) == (WHOLE, 50)  # up to the last height
