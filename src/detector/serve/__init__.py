"""HTTP server: the page and API of `detector serve`."""
