"""Mining: templates, requests for blocks, and rounds that workers search together."""
