"""Stacks of networks that a function of the user makes.

Three networks and more of one kind (`probes.custom.kind`) are trained as one by ``torch.func.vmap``, if their module
allows it; the others one by one. A module does not allow it if it decides by the values of tensors, draws random
numbers, or calls a function that vmap would only repeat. On a CPU, networks with convolutions or large layers are
trained one by one, too: together they would be no faster.

Networks are trained in train mode, with dropout on, and tested in eval mode: without dropout, and with the running
statistics of batch normalisation. Parameters that require no gradient are left as they are. Random numbers that a
module draws depend on the seed and the epoch alone. A network's outcome is the same in every pack, up to rounding.
"""

import random
import warnings
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.func import functional_call, vmap
from torch.nn.functional import cross_entropy

from probes.custom.function import CONVOLUTIONS, FORWARD, Custom, NetworkError, own_randomness, tried_images
from probes.custom.kind import kind_of_module
from probes.datasets import Images
from probes.layers import Parameters
from probes.seeds import derive
from probes.training.data import TrainingData
from probes.training.descent import Descent
from probes.training.run import TrainingRun
from probes.training.settings import TrainingSettings
from probes.training.stack import Stack

_MIN_STACK_SIZE = 3  # two networks take as long together as one after another
_MAX_STACK_SIZE = 64
_MAX_CPU_STACK_SIZE = 24  # more are no faster there, and autograd keeps the activations of all of them
_MIN_LONE_MULTIPLICATIONS = 10_000_000  # in the largest product; from here on it takes longer than all calls around it

UseGradient = Callable[[int, torch.Tensor], object]  # takes the number of a parameter, and its gradient


@dataclass(frozen=True)
class Task:
    """What the networks of a user are trained for: images of a shape, to tell so many classes apart."""

    custom: Custom
    shape: tuple[int, ...]
    classes: int

    def loss(self, logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return the mean cross entropy of what a module gives for images with the labels ``y``, in nats."""
        self.custom.check_logits(logits, len(y), self.classes)
        return cross_entropy(logits, y)


@dataclass(eq=False)
class _Network:
    """A module that is trained, and the run that it belongs to.

    Attributes
    ----------
    run, module:
        The run and the module.
    moments:
        The two moments of Adam by the number of the parameter; none for SGD.
    """

    run: TrainingRun
    module: nn.Module
    moments: list[dict[int, Parameters]] = field(default_factory=list)

    @property
    def trained(self) -> dict[str, torch.Tensor]:
        """Parameters that are trained, by name."""
        return {n: p for n, p in self.module.named_parameters() if p.requires_grad}

    @property
    def constants(self) -> dict[str, torch.Tensor]:
        """Parameters that are not trained, and buffers, by name."""
        return {n: p for n, p in self.module.named_parameters() if not p.requires_grad} | dict(
            self.module.named_buffers()
        )


class CustomStack(Stack):
    """A stack of networks of a user, all of one kind."""

    def __init__(self, networks: Sequence[_Network], settings: TrainingSettings, task: Task) -> None:
        super().__init__([network.run for network in networks], settings, lone=False)
        self._task, self._module = task, networks[0].module

    def _constants_of(self, i: int) -> Parameters:
        """Return what is not trained of a network: some of its parameters, and its buffers."""
        raise NotImplementedError

    def tensors_of(self, i: int) -> list[dict[int, Parameters]]:
        """Return views of the tensors of one network: those of the stack, and then what is not trained."""
        kinds = [{n: [p[i].detach() for p in same] for n, same in kind.items()} for kind in self.tensors]
        return [*kinds, {n: [c] for n, c in enumerate(self._constants_of(i))}]

    def steps(self, data: TrainingData) -> torch.Tensor:
        """Make the steps of one epoch, see `Stack.steps`; the module is in train mode meanwhile."""
        self._module.train()
        total = super().steps(data)
        self._module.eval()
        return total

    def epoch(self, data: TrainingData) -> None:
        """Train for one epoch and test, see `Stack.epoch`."""
        with self._task.custom.running(derive(self.runs[0].point.seed, "custom training", self._epoch)):
            super().epoch(data)

    def _images(self, x: torch.Tensor) -> torch.Tensor:
        return x.view(-1, *self._task.shape)


class LoneStack(CustomStack):
    """A stack of one network, which is trained by autograd as its module is."""

    def __init__(self, network: _Network, settings: TrainingSettings, task: Task) -> None:
        super().__init__([network], settings, task)
        self._network, self._trained = network, list(network.trained.values())
        # Views: what the optimiser changes are the parameters of the module.
        self.tensors = [{n: [p.detach()[None]] for n, p in enumerate(self._trained)}]
        self.tensors += [{n: [m[None] for m in moment] for n, moment in kind.items()} for kind in network.moments]

    def _constants_of(self, i: int) -> Parameters:
        return list(self._network.constants.values())

    def losses(self, x: torch.Tensor, y: torch.Tensor, descent: Descent) -> torch.Tensor:
        """Return the loss of each network on a batch, see `Stack.losses`."""
        with torch.enable_grad():
            loss = self._task.loss(self._module(self._images(x)), y)
            torch.autograd.backward(loss, inputs=self._trained)
        for number, parameter in enumerate(self._trained):
            descent.use_gradients(number, [_gradient_of(parameter)[None]])
        return loss.detach()[None]

    def _logits_of(self, i: int, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self._module(self._images(x))
        return logits

    def _keep_tensors_of(self, staying: Sequence[int]) -> None:
        """Keep nothing: the only network has left."""


class JointStack(CustomStack):
    """A stack of several networks, which are trained as one by vmap.

    Each parameter is changed as soon as its gradient is there, so that not all gradients are in memory at a time.
    """

    def __init__(self, networks: Sequence[_Network], settings: TrainingSettings, task: Task) -> None:
        super().__init__(networks, settings, task)
        self._places = _places(self._module)
        trained, self._constants = _stacked([n.trained for n in networks]), _stacked([n.constants for n in networks])
        self._names = list(trained)
        self.tensors = [{n: [p.requires_grad_()] for n, p in enumerate(trained.values())}]
        for moments in zip(*(network.moments for network in networks), strict=True):
            self.tensors.append({n: [torch.stack([m[n][0] for m in moments])] for n in moments[0]})

    @property
    def _leaves(self) -> list[torch.Tensor]:
        """Parameters, of which autograd computes the gradients."""
        return [p for (p,) in self.parameters.values()]

    def _constants_of(self, i: int) -> Parameters:
        return [c[i] for c in self._constants.values()]

    def works(self, device: torch.device) -> bool:
        """Return whether vmap takes the module, and give each parameter the memory layout of its gradient.

        torch would otherwise copy each gradient into the layout of its parameter, which takes as long as a product.
        """
        x = tried_images(self._task.shape).to(device)
        y = torch.zeros(len(x), dtype=torch.int64, device=device)
        constants = self._constants
        self._constants = {n: c.clone() for n, c in constants.items()}  # a module may change its buffers
        self._module.train()
        try:
            with warnings.catch_warnings(), own_randomness(0):
                warnings.filterwarnings("error", "There is a performance drop")  # said of functions that it repeats
                before = _drawn_so_far()
                with torch.enable_grad():
                    gradients = torch.autograd.grad(self._losses(x, y).sum(), self._leaves)
                self._lay_out_as(gradients)
                leaves = self._leaves
                self._descend(x, y, lambda number, _: leaves[number].mul_(1))  # it may need what is changed already
                return _drawn_so_far() == before
        except torch.OutOfMemoryError:
            raise
        except Exception:  # whatever it is, the training of single networks tells it better
            return False
        finally:
            self._constants = constants
            self._module.eval()

    @torch.no_grad()
    def _lay_out_as(self, gradients: Sequence[torch.Tensor]) -> None:
        for kind in self.tensors:
            for n, gradient in enumerate(gradients):
                (old,) = kind[n]
                kind[n] = [torch.empty_like(gradient).copy_(old).requires_grad_(old.requires_grad)]

    def _losses(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return the loss of each network on a batch, for autograd."""

        def loss(
            parameters: dict[str, torch.Tensor], constants: dict[str, torch.Tensor], x: torch.Tensor, y: torch.Tensor
        ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
            logits, after = self._call(parameters | constants, x)
            return self._task.loss(logits, y), {n: after[n] for n in constants}

        parameters = dict(zip(self._names, self._leaves, strict=True))
        together = vmap(loss, in_dims=(0, 0, None, None))
        losses, constants = together(parameters, self._constants, self._images(x), y)
        self._constants = {n: c.detach() for n, c in constants.items()}
        return losses

    def _descend(self, x: torch.Tensor, y: torch.Tensor, use: UseGradient) -> torch.Tensor:
        """Return the loss of each network on a batch, and use the gradient of each parameter once it is complete."""

        @torch.no_grad()
        def use_and_forget(number: int, parameter: torch.Tensor) -> None:
            use(number, _gradient_of(parameter))

        leaves = self._leaves
        hooks = [p.register_post_accumulate_grad_hook(partial(use_and_forget, n)) for n, p in enumerate(leaves)]
        try:
            with torch.enable_grad():
                losses = self._losses(x, y)
                torch.autograd.backward(losses.sum(), inputs=leaves)
        finally:
            for hook in hooks:
                hook.remove()
        return losses.detach()

    def losses(self, x: torch.Tensor, y: torch.Tensor, descent: Descent) -> torch.Tensor:
        """Return the loss of each network on a batch, see `Stack.losses`."""
        return self._descend(x, y, lambda number, gradient: descent.use_gradients(number, [gradient]))

    def _logits_of(self, i: int, x: torch.Tensor) -> torch.Tensor:
        tensors = {n: p[i] for n, p in zip(self._names, self._leaves, strict=True)}
        tensors |= {n: c[i] for n, c in self._constants.items()}
        logits: torch.Tensor = self._call(tensors, self._images(x))[0]
        return logits

    def _call(self, tensors: dict[str, torch.Tensor], x: torch.Tensor) -> tuple[Any, dict[str, torch.Tensor]]:
        """Return what the module gives with other tensors, and these tensors as it has left them."""
        placed = {place: tensors[name] for place, name in self._places.items()}
        return functional_call(self._module, placed, (x,), tie_weights=False), placed

    def _keep_tensors_of(self, staying: Sequence[int]) -> None:
        for kind in self.tensors:
            for n, (old,) in kind.items():
                same_layout = torch.empty_like(old[: len(staying)])
                kind[n] = [same_layout.copy_(old.detach()[staying]).requires_grad_(old.requires_grad)]
        self._constants = {n: c[staying] for n, c in self._constants.items()}


def custom_stacks(
    runs: Sequence[TrainingRun], images: Images, settings: TrainingSettings, custom: Custom, device: torch.device
) -> list[Stack]:
    """Return stacks of the networks of some runs, which a function of the user makes.

    Raises
    ------
    NetworkError
        A network cannot be made, gives no logits, or has nothing to train.
    """
    task = Task(custom, images.shape, images.classes)
    kinds: dict[Hashable, list[_Network]] = {}
    for network in [_made(run, task, settings, device) for run in runs]:  # kinds are told apart while all exist
        kind = kind_of_module(network.module), network.run.kind
        kinds.setdefault(kind, []).append(network)
    stacks: list[Stack] = []
    for networks in kinds.values():
        count = -(-len(networks) // _largest_stack(networks[0], settings.batch, device))
        for k in range(count):
            members = networks[k * len(networks) // count : (k + 1) * len(networks) // count]
            if len(members) >= _MIN_STACK_SIZE and (joint := JointStack(members, settings, task)).works(device):
                stacks.append(joint)
            else:
                stacks += [LoneStack(network, settings, task) for network in members]
    return stacks


def _made(run: TrainingRun, task: Task, settings: TrainingSettings, device: torch.device) -> _Network:
    """Return the network of a run, as its function makes it or as its training has left it."""
    custom, point = task.custom, run.point
    module = custom.make(point, point.depth, task.shape, task.classes, dropout=True).module.to(device).eval()
    images = tried_images(task.shape).to(device).view(-1, *task.shape)
    with torch.no_grad(), custom.running(derive(point.seed, FORWARD)):  # the seed of a probe: layers may be lazy
        custom.check_logits(module(images), len(images), task.classes)
    network = _Network(run, module)
    if not network.trained:
        raise NetworkError(f"`network` {custom.name} must have parameters that require gradients, to be trained")
    if run.tensors:
        _load(network, custom)
    elif settings.optimizer == "adam":
        network.moments = [{n: [torch.zeros_like(p)] for n, p in enumerate(network.trained.values())} for _ in "mv"]
    return network


@torch.no_grad()
def _load(network: _Network, custom: Custom) -> None:
    """Give a network the tensors of its run, which then has none."""
    trained, *moments, constants = network.run.tensors
    own = [*network.trained.values(), *network.constants.values()]
    saved = [tensor for kind in (trained, constants) for (tensor,) in kind.values()]
    if [t.shape for t in own] != [t.shape for t in saved]:
        raise NetworkError(f"`network` {custom.name} makes another network than the one whose training was saved")
    for tensor, value in zip(own, saved, strict=True):
        tensor.copy_(value)
    network.moments = [
        {n: [m.to(own[n].device, copy=True) for m in same] for n, same in kind.items()} for kind in moments
    ]
    network.run.tensors = []


def _largest_stack(network: _Network, batch: int, device: torch.device) -> int:
    """Return the largest number of networks of a kind that are trained as one."""
    if device.type != "cpu":
        return _MAX_STACK_SIZE
    large = batch * max(p.numel() for p in network.trained.values()) >= _MIN_LONE_MULTIPLICATIONS
    convolutional = any(isinstance(part, CONVOLUTIONS) for part in network.module.modules())
    return 1 if large or convolutional else _MAX_CPU_STACK_SIZE


def _stacked(networks: Sequence[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Return the tensors of some networks, stacked, by name."""
    return {name: torch.stack([tensors[name].detach() for tensors in networks]) for name in networks[0]}


def _places(module: nn.Module) -> dict[str, str]:
    """Return where a module has its tensors: the name of each by every name that one of its parts gives it.

    Parts that share a tensor have a place each. A part with two names is one part: `functional_call` would put a tensor
    there twice, and take away the first only.
    """
    named = [
        (f"{prefix}.{own}" if prefix else own, tensor)
        for prefix, part in module.named_modules()
        for tensors in (part.named_parameters, part.named_buffers)
        for own, tensor in tensors(recurse=False, remove_duplicate=False)
    ]
    names = {id(tensor): name for name, tensor in reversed(named)}
    return {place: names[id(tensor)] for place, tensor in named}


def _gradient_of(parameter: torch.Tensor) -> torch.Tensor:
    """Return the gradient of a parameter, which forgets it; zero where the module has not used the parameter."""
    gradient, parameter.grad = parameter.grad, None
    return torch.zeros_like(parameter) if gradient is None else gradient


def _drawn_so_far() -> Any:
    """Return what changes when a module draws from the generators of random or numpy; vmap refuses torch's."""
    state = np.random.get_state(legacy=False)
    return random.getstate(), state["state"]["pos"], state["state"]["key"].tobytes()
