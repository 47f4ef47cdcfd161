"""The interfaces of other packages over this one, for programs that come from there."""
