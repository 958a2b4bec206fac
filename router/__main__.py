"""``python -m router``: the same as ``tcp-router``."""

from router.cli import main

if __name__ == "__main__":
    main()
