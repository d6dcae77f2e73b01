"""How a running sweep gets on."""
