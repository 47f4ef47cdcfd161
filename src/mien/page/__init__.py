"""Page: the page for browsers: its files, a server of this machine alone, and a folder for any other."""
