"""Ways between nodes."""

from lab.simulated.tree.links import BLOCK_BYTES, Links


def test_equal_links_are_one_event() -> None:
    assert Links(4, 0.5).routes(1) == [(0.5, 0.0, (0, 2, 3))]


def test_news_take_the_fastest_way_also_over_other_nodes() -> None:
    links = Links(3, 1.0)
    links.change(0, 2, latency=5.0)
    assert links.routes(0) == [(1.0, 0.0, (1,)), (2.0, 0.0, (2,))]
    assert links.routes(2) == [(1.0, 0.0, (0, 1))]  # one direction only


def test_rates_and_jitter() -> None:
    links = Links(2)
    links.change(0, 1, rate=BLOCK_BYTES / 2, jitter=0.3)
    assert links.routes(0) == [(2.0, 0.3, (1,))]
    links.change(0, 1, rate=0, jitter=0.0)
    assert links.routes(0) == [(0.0, 0.0, (1,))]


def test_cuts_and_nodes_that_are_down() -> None:
    links = Links(3)
    links.set_cuts(lambda a, b: (a, b) == (0, 2))
    assert links.disturbed and links.reaches(0, 2)  # over node 1
    links.set_down(1, True)
    assert not links.reaches(0, 2) and links.reaches(2, 0)
    links.set_down(1, False)
    links.set_cuts(lambda a, b: False)
    assert not links.disturbed and links.open(0, 2)
