"""The ground: errors, files, locks, signals, tables on disk, the frame of a script."""
