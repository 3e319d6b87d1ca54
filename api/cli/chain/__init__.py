"""Commands about blocks: showing, verifying, exporting, importing, anchoring, repairing."""
