"""A trained model in use: writing and measuring text."""
