"""The built-in scenarios, each a file to read and to copy.

- `crash`: kill every node in turn while payments are made
- `liar`: peers that claim work they have not done
- `partition`: two sides, conflicting payments, and what is left of them
"""
