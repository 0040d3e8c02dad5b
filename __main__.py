"""Run the command line: ``python -m floorcast``."""

from .cli import main

if __name__ == "__main__":
    main()
