"""The import of matplotlib, which settings that are not valid must not prevent."""

import logging
import os
import sys
from contextlib import chdir

from sweep.text import one_line


def load_matplotlib() -> None:
    """Import matplotlib: without the settings of the user's environment and files if one of them is not valid.

    Figures are never shown here, so that the backend of a notebook or of a desktop does not matter.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise
    except Exception as error:  # matplotlib raises errors of many types while it reads its settings
        logging.getLogger(__name__).warning("matplotlib's settings are not used: %s", one_line(error)[:200])
        for name in [n for n in sys.modules if n.partition(".")[0] == "matplotlib"]:
            del sys.modules[name]
        settings = {name: os.environ.pop(name, None) for name in ("MPLBACKEND", "MATPLOTLIBRC")}
        os.environ["MATPLOTLIBRC"] = os.devnull
        try:
            with chdir(os.path.dirname(os.devnull)):  # a file of the working directory would come first
                import matplotlib  # noqa: F401
        finally:
            del os.environ["MATPLOTLIBRC"]
            os.environ.update({name: value for name, value in settings.items() if value is not None})
