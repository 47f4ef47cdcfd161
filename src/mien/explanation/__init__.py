"""Explanation: which pixels an answer depends on."""
