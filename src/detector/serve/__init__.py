"""The server of `detector serve`."""
