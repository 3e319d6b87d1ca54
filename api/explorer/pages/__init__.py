"""What each page shows, gathered from the node; how it looks is in the templates."""
