"""The door for people and programs: HTTP, explorer pages, the command line."""
