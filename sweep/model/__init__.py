"""From measured points to the boundary and the critical line."""
