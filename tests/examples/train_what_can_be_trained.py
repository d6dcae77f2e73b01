"""From data to a phase diagram to a trained network: ``python tests/examples/train_what_can_be_trained.py [FOLDER]``.

The sweep measures 48 random networks on images of digits, which takes half a minute. Then two networks of the same 40
layers are trained: one with weights on the critical line, one with the standard deviation that torch draws by default.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

import sweep
from probes import load_images
from sweep import plots

DEPTH, SIGMA_B, WIDTH, EPOCHS = 40, 0.1, 64, 30
TORCH_DEFAULT = 3**-0.5  # sigma_w of torch.nn.Linear: uniform within 1 / sqrt(fan_in)
BOX = {"facecolor": "white", "boxstyle": "round"}


def network(sigma_w: float, inputs: int, classes: int) -> torch.nn.Sequential:
    """Return a deep network of tanh layers whose weights have standard deviation sigma_w / sqrt(fan_in)."""
    layers: list[torch.nn.Module] = []
    for fan_in in [inputs] + [WIDTH] * (DEPTH - 1):
        linear = torch.nn.Linear(fan_in, WIDTH)
        torch.nn.init.normal_(linear.weight, std=sigma_w / fan_in**0.5)
        torch.nn.init.normal_(linear.bias, std=SIGMA_B)
        layers += [linear, torch.nn.Tanh()]
    return torch.nn.Sequential(*layers, torch.nn.Linear(WIDTH, classes))


def main(folder: Path) -> dict[str, float]:
    """Run the sweep, train two networks, draw the picture; return the accuracy of each network."""
    images = load_images("digits")
    results = sweep.run(sweep.SweepSpec(probe="direct", points=48, depth=(5, 60)), folder / "sweep", quiet=False)
    critical = results.phase.critical_line([SIGMA_B])["sigma_w"].item()

    x, y = map(np.ravel, np.meshgrid(np.linspace(0.5, 2.5, 41), np.linspace(0.05, 1, 41)))
    margin = results.phase.mean(sigma_w=x, sigma_b=y, depth=DEPTH)
    surface = pd.DataFrame({"sigma_w": x, "sigma_b": y, "margin": margin})
    figure = Figure(figsize=(6, 4), layout="constrained")
    ax = plots.phase(results.points, results.boundary, surface, ax=figure.subplots())
    accuracies = {}
    for name, sigma_w in {"critical line": critical, "torch's default": TORCH_DEFAULT}.items():
        torch.manual_seed(0)
        model = network(sigma_w, images.pixels, images.classes)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.02)
        rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
        for _ in range(EPOCHS):
            for batch in torch.randperm(len(images.train)).split(64):
                optimizer.zero_grad()
                loss = torch.nn.functional.cross_entropy(model(images.train[batch]), images.train_labels[batch])
                loss.backward()
                optimizer.step()
            rate.step()
        correct = model(images.test).argmax(1) == images.test_labels
        accuracies[name] = correct.float().mean().item()
        print(f"{name}: sigma_w = {sigma_w:.2f}, {DEPTH} layers, test accuracy {accuracies[name]:.2f}")
        ax.plot(sigma_w, SIGMA_B, "*", markersize=16, color="gold", markeredgecolor="black")
        ax.annotate(f"{accuracies[name]:.0%}", (sigma_w, SIGMA_B), (9, 12), textcoords="offset points", bbox=BOX)
    figure.savefig(folder / "trained.png", dpi=150)
    return accuracies


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/example"))
