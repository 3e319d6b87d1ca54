"""The explorer: pages that show people the chain, rendered here, without scripts or styles of anybody else."""
