"""Progress of a sweep in a notebook: a progress bar in place of the live view."""

import sys
import warnings

from sweep.monitor.view import View, speed


def is_notebook() -> bool:
    """Return whether this process is the kernel of a notebook."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return shell is not None and "IPKernelApp" in getattr(shell, "config", {})


class Bar:
    """A progress bar in a notebook: a widget where ipywidgets is installed, text where it is not."""

    def __init__(self, total: int) -> None:
        from tqdm import TqdmWarning

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TqdmWarning)  # that ipywidgets is not installed
            from tqdm.auto import tqdm

            self._bar = tqdm(total=total, unit=" points", desc="sweep")

    def show(self, view: View) -> None:
        """Update the bar and the texts behind it."""
        self._bar.n = min(view.done + view.failed, view.total)
        texts = [
            view.trouble or (view.note if not view.running else ""),
            f"{view.failed} failed" if view.failed else "",
        ]
        texts += [speed(view.rate)] if view.rate else []
        self._bar.set_postfix_str(", ".join([*filter(None, texts), *view.estimates]))

    def close(self, view: View) -> None:
        """Draw the last view and close the bar."""
        self.show(view)
        self._bar.close()
