"""The network: its parameters, layers and buffers, and how it is described."""
