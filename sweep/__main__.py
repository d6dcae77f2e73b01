"""``python -m sweep``."""

from .cli import main

if __name__ == "__main__":
    main()
