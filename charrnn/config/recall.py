"""How an associative memory of lines recalls them."""

#: What lines are stored by, the default first.
RECALL_RULES = ("modern", "classical")

#: How sharply the nearest lines are preferred: one more character in which a line agrees makes it
#: e^β times as near, more than all others of a few thousand lines together (docs/networks.md).
RECALL_BETA = 10.0
