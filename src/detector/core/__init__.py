"""Foundations: errors, files, locks, signals, tables on disk, the entry point of scripts."""
