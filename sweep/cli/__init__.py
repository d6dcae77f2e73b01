"""The command line: click only. Commands parse, call and print."""
