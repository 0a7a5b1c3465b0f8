"""`python -m launch`: the command where the code is there but not installed, as in a job."""

from __future__ import annotations

from launch.cli import main

if __name__ == "__main__":
    main()
