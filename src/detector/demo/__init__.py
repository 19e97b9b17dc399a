"""The demo's data, made from nothing."""
