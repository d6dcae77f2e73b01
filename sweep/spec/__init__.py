"""What a sweep is, as plain data: axes, options, columns, rows."""
