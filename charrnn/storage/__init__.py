"""Files: models, the state of a run, locks, and how they are written whole."""
