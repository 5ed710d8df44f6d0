"""Learning: what a run plans, its steps, and how well a network predicts."""
