"""Progress of a running sweep: the live view, log lines and notebook bars, here or from another machine."""
