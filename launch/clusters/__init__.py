"""Files that describe a Ray cluster: written from a few answers, and checked offline."""
