"""Entry point of ``python -m sweep``."""

import os
import sys
from pathlib import Path

if __name__ == "__main__":
    # Python puts the working directory first, where a file such as ``torch.py`` would be run, whoever wrote it.
    here, ours = os.getcwd(), str(Path(__file__).resolve().parents[1])
    sys.path[:] = [path for path in sys.path if path not in ("", here) or here == ours]

    from sweep.cli.main import main

    main()
