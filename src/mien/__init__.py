"""mien: facial emotion recognition — train, evaluate, compare, recognize. Public names load when they are first used."""

from __future__ import annotations
