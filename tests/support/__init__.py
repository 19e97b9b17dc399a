"""Test support: small files, workspaces, other processes. `ROOT` is the project's folder."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
