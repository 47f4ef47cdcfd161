"""Scale: recognition of more pictures than one process looks at, on this machine or on a Ray cluster."""
