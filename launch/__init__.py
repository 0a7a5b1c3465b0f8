"""From the command line, on a laptop or on a cluster."""
