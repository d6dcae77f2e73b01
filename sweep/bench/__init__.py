"""How fast this machine is, beside the bars that the project holds itself to."""
