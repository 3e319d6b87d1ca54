"""Whether what is stored is what the blocks give: quick and whole checks, and repair."""
