"""Measurements of networks and of the machine."""
