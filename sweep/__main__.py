"""Entry point of ``python -m sweep``."""

from sweep.cli.main import main

if __name__ == "__main__":
    main()
