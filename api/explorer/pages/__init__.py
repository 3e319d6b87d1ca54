"""What each page shows, gathered from the node. The templates say how it looks."""
