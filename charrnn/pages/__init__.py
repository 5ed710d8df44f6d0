"""Models as web pages: one file that needs nothing else."""
