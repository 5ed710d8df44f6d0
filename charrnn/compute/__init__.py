"""Compiled primitives that know nothing of text.

Importing this package imports nothing: a command that needs no compiled code
(``--help``, ``info``) does not wait for Numba.
"""
