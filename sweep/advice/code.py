"""Lines of Python that apply an advice."""

from probes.custom.function import Custom
from probes.initialisations import NORMAL


def own_lines(
    custom: Custom,
    module: str | None,
    *,
    sigma_w: float,
    sigma_b: float,
    depth: int,
    seed: int,
    shape: tuple[int, ...],
    classes: int,
    gives_layers: bool,
) -> str:
    """Return lines that make the module of a user's function with the recommended initialisation, as ``model``.

    Parameters
    ----------
    custom:
        The function, and how its parameters are drawn.
    module:
        Name of the Python module that has the function; None: it is there already.
    sigma_w, sigma_b, depth, seed, shape, classes:
        Its arguments.
    gives_layers:
        Whether it returns its layers beside the module.
    """
    every = {
        "sigma_w": sigma_w,
        "sigma_b": sigma_b,
        "depth": depth,
        "seed": seed,
        "shape": shape,
        "classes": classes,
    }
    arguments = ", ".join(f"{name}={value}" for name, value in every.items() if name in custom.arguments)
    made = f"{custom.name}({arguments})" + ("[0]" if gives_layers else "")
    lines = [_imported(custom.name, module)] if module else []
    if custom.initialise is None:
        return "\n".join([*lines, f"model = {made}"])
    call = f"model = probes.initialise({made}, {_drawn(sigma_w, sigma_b, custom.initialise)})"
    return "\n".join(["import probes", *lines, call])


def built_in_lines(sigma_w: float, sigma_b: float, initialise: str) -> str:
    """Return lines that give any torch module, ``model``, the recommended initialisation."""
    return f"import probes\nprobes.initialise(model, {_drawn(sigma_w, sigma_b, initialise)})"


def _imported(name: str, module: str) -> str:
    if all(part.isidentifier() for part in module.split(".")):
        return f"from {module} import {name}"
    return f"{name} = __import__({module!r}).{name}"


def _drawn(sigma_w: float, sigma_b: float, initialise: str) -> str:
    kind = "" if initialise == NORMAL else f", kind={initialise!r}"
    return f"sigma_w={sigma_w:g}, sigma_b={sigma_b:g}{kind}"
