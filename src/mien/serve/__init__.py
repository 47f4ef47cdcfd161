"""Serve: the recognizer behind HTTP, and a page for people. Needs the extra `serve`; no torch here."""
