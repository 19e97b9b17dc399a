"""Command line: the subcommands of `detector`."""
