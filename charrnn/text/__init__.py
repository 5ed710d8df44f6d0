"""Text as indices: the vocabulary, files, documents, what a run learns from."""
