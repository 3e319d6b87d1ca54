"""The page of control methods is what the tables say."""

from api.rpc.development.page import page
from services.system.programs import ROOT


def test_the_page_is_up_to_date() -> None:
    written = (ROOT / "docs" / "control-methods.md").read_text("utf-8")
    assert written == page(), "run python -m api.rpc.development.page > docs/control-methods.md"


def test_it_says_of_each_method_what_becomes_of_it() -> None:
    text = page()
    assert "| `anvil_dropTransaction` | value | The hash, or null if no such transaction waits. |" in text
    assert "| `hardhat_setCode` | There are no contracts here" in text
    assert "| `eth_sendTransactionSync` | request, [timeout] |" in text
