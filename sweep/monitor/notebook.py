"""How a sweep gets on, in a notebook: a progress bar instead of a terminal's drawing."""

import sys
import warnings

from sweep.monitor.view import View, speed


def is_notebook() -> bool:
    """Tell whether this process is the kernel of a notebook."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return shell is not None and "IPKernelApp" in getattr(shell, "config", {})


class Bar:
    """A progress bar: with widgets where ipywidgets is installed, as text where it is not."""

    def __init__(self, total: int) -> None:
        from tqdm import TqdmWarning

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TqdmWarning)  # ipywidgets is not there
            from tqdm.auto import tqdm

            self._bar = tqdm(total=total, unit=" points", desc="sweep")

    def show(self, view: View) -> None:
        """Draw a view."""
        self._bar.n = min(view.done + view.failed, view.total)
        told = [view.trouble or (view.note if not view.running else ""), f"{view.failed} failed" if view.failed else ""]
        told += [speed(view.rate)] if view.rate else []
        self._bar.set_postfix_str(", ".join([*filter(None, told), *view.found]))

    def close(self, view: View) -> None:
        """Draw the last view, and be done."""
        self.show(view)
        self._bar.close()
