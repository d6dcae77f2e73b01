"""Networks of users, as `--network` takes them."""
