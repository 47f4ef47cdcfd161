"""Data: pictures with labels, from any layout, audited or drawn."""
