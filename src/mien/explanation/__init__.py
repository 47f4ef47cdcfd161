"""Explanation: which pixels an answer hangs on."""
