"""Benchmarks of the probes."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from probes import Images, Point, ProbeSettings, load_images
from probes.cascade import Cascade
from probes.decoders import BATCH, Decoder, train_decoders
from probes.direct import DirectProbe
from probes.gradients import KEPT_BYTES, image_count
from probes.gradients import gradients as gradients_of
from probes.networks import Architecture, Network
from probes.plain import PlainCascade
from probes.prober import Prober
from probes.products import affine, gram, matmul, stacked_affine, stacked_matmul
from probes.seeds import generator
from probes.settings import HELD_OUT_IMAGES
from sweep.bench.figure import Figure, default_device, timed, timed_in_turns

WIDTH, SIGMA_B = 784, 0.05**0.5
EPOCH_IMAGES = 60_000  # the size of MNIST
CASCADE_DEPTH, CASCADE_STEPS = 20, 40
DIRECT_DEPTH, PLAIN_STEPS = 60, 50


def _cascade(images: Images, depth: int, count: int, device: str) -> Cascade:
    architecture = Architecture("mlp", images.shape, images.classes, WIDTH)
    network = Network(Point(1.3, SIGMA_B, depth), architecture, "tanh", device)
    inputs = images.train[:count].to(device)
    return Cascade(network, inputs, learn_from=len(inputs), reconstructed=slice(0, 0))


@torch.no_grad()
def cascade(images: Images) -> Iterator[Figure]:
    """Yield the time of a training step of the cascade, compared with the plain loop and with its arithmetic alone."""
    depth, steps, device = CASCADE_DEPTH, CASCADE_STEPS, default_device()
    untrained = _untrained(images, depth, steps, device)
    activations = [untrained[0].y, *(d.x for d in untrained)]

    def stacked(precision: str, steps: int = steps) -> list[torch.Tensor]:
        decoders = [replace(d, weight=d.weight.clone(), bias=d.bias.clone()) for d in untrained]
        train_decoders(decoders, steps=steps, precision=precision)
        return [d.weight for d in decoders]

    plain = PlainCascade([(d.weight, d.bias) for d in untrained])
    times = timed_in_turns(
        lambda: plain.train(activations, steps=steps),
        lambda: stacked("float32"),
        lambda: stacked("bfloat16"),
        device=device,
    )
    plain_step, float32_step, bfloat16_step = (t / steps for t in times)
    limit = _limit(depth, device)
    yield Figure(f"plain loop, one Adam per layer, a step of {depth} layers", 1e3 * plain_step, "ms")
    yield Figure("stacked, hand-written gradient, float32", 1e3 * float32_step, "ms")
    yield Figure("  times faster than the plain loop", plain_step / float32_step, "x", 3.0)
    yield Figure("the limit: the same products and one fused Adam alone", 1e3 * limit, "ms")
    yield Figure("  a step takes, in units of the limit", float32_step / limit, "x", 1.5, at_least=False)
    yield Figure("stacked, products in bfloat16", 1e3 * bfloat16_step, "ms")
    yield Figure("  times faster than the plain loop", plain_step / bfloat16_step, "x", 5.0)
    fresh = PlainCascade([(d.weight, d.bias) for d in untrained])
    fresh.train(activations, steps=10)
    difference = max(
        float((a - b).abs().max()) for (a, _), b in zip(fresh.decoders, stacked("float32", 10), strict=True)
    )
    yield Figure("largest difference of a weight from the plain loop's, 10 steps", difference, "")
    yield from _effect_of_bfloat16(images, depth, device)


def _untrained(images: Images, depth: int, batches: int, device: str) -> list[Decoder]:
    """Return the untrained decoders of a network, with ``batches`` batches of its activations."""
    source = _cascade(images, depth, BATCH * batches, device)
    return [replace(d) for d in source.prepare()]


def _limit(depth: int, device: str) -> float:
    """Return the seconds that a step's matrix products and one fused Adam update of the same tensors take alone."""
    random = generator(0, "bench")
    x = torch.randn(1, BATCH, WIDTH, generator=random).to(device)
    weight = [torch.randn(1, WIDTH, WIDTH, generator=random).to(device) for _ in range(depth)]
    bias, out = x.new_zeros(1, 1, WIDTH), torch.empty_like(x)
    gradient = torch.empty_like(weight[0])

    def products() -> None:
        for w in weight:
            stacked_affine(x, w, bias, out)
            stacked_matmul(x.transpose(1, 2), out, gradient)

    whole = torch.cat(weight).requires_grad_()
    whole.grad = torch.randn_like(whole)
    adam = torch.optim.Adam([whole], fused=True)
    repeats = 10

    def again(work: Callable[[], Any]) -> None:
        for _ in range(repeats):
            work()

    return sum(timed_in_turns(lambda: again(products), lambda: again(adam.step), device=device)) / repeats


def _effect_of_bfloat16(images: Images, depth: int, device: str) -> Iterator[Figure]:
    """Yield how much bfloat16 changes the relative entropy of the cascade's layers."""
    entropies = []
    for precision in ("float32", "bfloat16"):
        settings = ProbeSettings("cascade", width=WIDTH, images=1024, precision=precision)
        (m,) = Prober(images, settings, device).measure([Point(1.3, SIGMA_B, depth)])
        entropies.append(m.profiles["cascade_relative_entropy"])
    effect = float(np.abs(entropies[1] / entropies[0] - 1).max())
    yield Figure("largest relative change of a layer's relative entropy by bfloat16, 300 steps", effect, "")


@torch.no_grad()
def direct(images: Images) -> Iterator[Figure]:
    """Yield the times of the direct probe of 60 layers, of its products, and of one epoch of the plain cascade."""
    depth, plain_steps, device = DIRECT_DEPTH, PLAIN_STEPS, default_device()
    loop = _plain_step(images, depth, plain_steps, device) * -(-EPOCH_IMAGES // BATCH)
    # With `width`, the probe would look for horizons in deeper networks, too; `widths` ends at the depth.
    keys: dict[str, Any] = {"probe": "direct", "widths": (WIDTH,) * depth}
    every_layer, few_layers = (
        Prober(images, ProbeSettings(**keys, decoded_layers=n), device) for n in (depth, ProbeSettings.decoded_layers)
    )
    points = [Point(w, SIGMA_B, depth) for w in (1.0, 1.5, 2.0)]
    times = timed_in_turns(
        lambda: every_layer.measure(points), lambda: few_layers.measure(points), device=device, rounds=2
    )
    every_seconds, few_seconds = (t / len(points) for t in times)
    horizons = [[m.values["direct_horizon"] for m in p.measure(points)] for p in (every_layer, few_layers)]
    difference = max(abs(b / a - 1) for a, b in zip(*horizons, strict=True))
    image_count = int(min(len(images.train), ProbeSettings.images))
    yield Figure(f"plain cascade, 60,000 images once (extrapolated from {plain_steps} steps)", loop, "s")
    yield Figure(f"direct probe, {image_count} images, every layer decoded", every_seconds, "s")
    yield Figure("  times faster than the plain cascade", loop / every_seconds, "x")
    yield Figure("direct probe, 16 layers decoded", few_seconds, "s")
    yield Figure("  times faster than the plain cascade", loop / few_seconds, "x")
    yield Figure("  largest relative difference of the horizon", difference, "", 0.02, at_least=False)
    yield from _direct_beside_its_limit(images, depth, device)


def _direct_beside_its_limit(images: Images, depth: int, device: str) -> Iterator[Figure]:
    """Yield the time of the direct probe of one network, with and without its gradients, and that of its products."""
    settings = ProbeSettings("direct", widths=(WIDTH,) * depth)
    prober = Prober(images, settings, device)
    point = Point(1.5, SIGMA_B, depth)
    network = Network(point, prober.architecture, settings.activation, device)
    network.keep(2 * KEPT_BYTES)
    count = min(settings.images, len(images.train))
    x = torch.cat([images.train[:count], images.test[:HELD_OUT_IMAGES]]).to(device)
    probe = DirectProbe(settings, x, learn_from=count)
    decoded = sorted(probe.profile(network).retained)
    seen = x[: image_count(prober.architecture, settings.activation, depth)]
    pixels = x[:count].T.contiguous()

    def products() -> None:
        h = x
        for number in range(1, depth + 1):
            h = affine(h, *network.parameters(number), tanh=True)
            if number in decoded:
                learnt = h[:count].T.contiguous()
                covariance = gram(learnt)
                covariance.diagonal().add_(settings.penalty * count)
                torch.linalg.cholesky_ex(covariance)
                matmul(h[count:], matmul(learnt, pixels.T))

    limit, alone, both = timed_in_turns(
        products,
        lambda: probe.profile(network),
        lambda: (gradients_of(network, seen), probe.profile(network)),
        device=device,
    )
    yield Figure(
        f"the limit: products of {depth} layers; for {len(decoded)} of them three more and a Cholesky", limit, "s"
    )
    yield Figure("direct probe of the same network, weights at hand", alone, "s")
    yield Figure("  in units of the limit", alone / limit, "x", 1.3, at_least=False)
    yield Figure("direct probe and gradients, which the default statistic needs", both, "s")
    yield Figure("  in units of the direct probe", both / alone, "x", 1.4, at_least=False)


def _plain_step(images: Images, depth: int, steps: int, device: str) -> float:
    """Return the mean seconds of a step of the plain loop, over ``steps`` steps on as many batches."""
    untrained = _untrained(images, depth, steps, device)
    activations = [untrained[0].y, *(d.x for d in untrained)]
    plain = PlainCascade([(d.weight, d.bias) for d in untrained])
    plain.train(activations, steps=3)
    return timed(lambda: plain.train(activations, steps=steps), device) / steps


@torch.no_grad()
def gradients(images: Images) -> Iterator[Figure]:
    """Yield the time of the gradients of 60 layers, compared with their matrix products alone."""
    depth, device = DIRECT_DEPTH, default_device()
    architecture = Architecture("mlp", images.shape, images.classes, WIDTH)
    x = images.train[: image_count(architecture, "tanh", depth)].to(device)
    point = Point(1.4, SIGMA_B, depth)
    drawn, fresh = (Network(point, architecture, "tanh", device) for _ in range(2))
    drawn.keep(2 * KEPT_BYTES)
    gradients_of(drawn, x)
    parameters = [drawn.parameters(n) for n in range(1, depth + 1)]
    inputs = [x, *(h for _, h in drawn.walk(x, until=depth))]

    def products() -> None:
        for (weight, bias), before, after in zip(parameters, inputs, inputs[1:], strict=False):
            affine(before, weight, bias)
            matmul(before.T, after)
            matmul(after, weight.T)

    def drawing() -> None:
        fresh.keep(KEPT_BYTES)
        gradients_of(fresh, x)

    limit, at_hand, whole = timed_in_turns(products, lambda: gradients_of(drawn, x), drawing, device=device)
    yield Figure("the limit: one forward and two backward products a layer", 1e3 * limit, "ms")
    yield Figure(f"gradients of {depth} layers, {len(x)} images, weights at hand", 1e3 * at_hand, "ms")
    yield Figure("  in units of the limit", at_hand / limit, "x", 1.5, at_least=False)
    yield Figure("the same with the weights drawn, which the direct probe then need not do", 1e3 * whole, "ms")
    yield Figure("  in units of the limit", whole / limit, "x")


def pack(images: Images) -> Iterator[Figure]:
    """Yield the speed of packs of points on digits, compared with single calls and with Ray trials of one point."""
    digits, device, settings = load_images("digits"), default_device(), ProbeSettings()
    prober = Prober(digits, settings, device)
    points = [Point(0.8 + 0.1 * i, 0.2, 60, i) for i in range(16)]
    sizes = (1, 4, 16)
    works = [_packed(prober, points, size) for size in sizes]
    times = dict(zip(sizes, timed_in_turns(*works, device=device), strict=True))
    for size, seconds in times.items():
        yield Figure(f"digits, width 64, depth 60, both probes: packs of {size}", len(points) / seconds, "points/s")
    bar = 5.0 if device == "cuda" else 1.0
    yield Figure("  speed of packs of 16, relative to single calls", times[1] / times[16], "x", bar)
    best = min(times.values())
    advised = next(size for size in sizes if times[size] < 1.05 * best)
    yield Figure("  advised pack (the smallest within 5 % of the fastest)", advised, "points")
    ray = trials_on_ray(digits, points, settings)
    yield Figure("16 Ray trials of one point each (tune.Tuner, a function)", len(points) / ray, "points/s")
    yield Figure("  packs of 16, times faster", ray / times[16], "x", 5.0)


def _packed(prober: Prober, points: Sequence[Point], size: int) -> Callable[[], None]:
    """Return a function that measures the points in packs of ``size``."""

    def work() -> None:
        for start in range(0, len(points), size):
            assert all(m.status == "ok" for m in prober.measure(points[start : start + size]))

    return work


def trials_on_ray(images: Images, points: Sequence[Point], settings: ProbeSettings) -> float:
    """Return the seconds that Tune takes to measure points in trials of one point and one core each."""
    from sweep.execution.tuner import TUNE_ENVIRONMENT

    os.environ.update(TUNE_ENVIRONMENT)
    from ray import tune

    from sweep.bench.plain_tune import seconds_of_trials

    def trial(config: dict[str, Any], images: Images) -> None:
        from probes.prober import measure

        tune.report({"margin": measure([Point(*config["point"])], images, settings)[0].values["margin"]})

    space = {"point": tune.grid_search([(p.sigma_w, p.sigma_b, p.depth, p.seed) for p in points])}
    return seconds_of_trials(images, trial, space, images=images)


@torch.no_grad()
def gpu(images: Images) -> Iterator[Figure]:
    """Yield the figures of a GPU, of large networks; nothing on a machine without a GPU."""
    if not torch.cuda.is_available():
        return
    depth, width = 100, WIDTH
    parameters = depth * width * (width + 1)
    bandwidth = _bandwidth()
    minimum_seconds = parameters * 28 * -(-EPOCH_IMAGES // BATCH) / bandwidth
    yield Figure("memory bandwidth, measured with a copy", bandwidth / 1e12, "TB/s")
    noise = torch.rand(EPOCH_IMAGES, width, generator=generator(0, "bench images"))
    many = Images("noise", noise, torch.zeros(len(noise)), images.test, images.test_labels, images.shape, 10)
    for size in (1, 4, 16):
        cascades = [_cascade(many, depth // size, EPOCH_IMAGES, "cuda") for _ in range(size)]

        def epoch(cascades: list[Cascade] = cascades) -> None:
            train_decoders((d for c in cascades for d in c.prepare()), steps=-(-EPOCH_IMAGES // BATCH))

        (seconds,) = timed_in_turns(epoch, device="cuda", rounds=1)
        bar = 1.0 if size == 1 else None
        name = f"one epoch of 60,000 images, {size} x {depth // size} layers of 784"
        yield Figure(name, seconds, "s", bar, at_least=False)
        yield Figure(
            "  speed relative to the bandwidth's limit (28 bytes per weight and step)",
            minimum_seconds / seconds,
            "",
            0.5,
        )
    prober = Prober(images, ProbeSettings("direct", widths=(width,) * depth), "cuda")
    (seconds,) = timed_in_turns(lambda: prober.measure([Point(1.5, SIGMA_B, depth)]), device="cuda")
    yield Figure("direct probe of the same network", seconds, "s", 0.1, at_least=False)


def _bandwidth() -> float:
    """Return the bytes that the GPU reads and writes per second, measured by copying a gibibyte."""
    source = torch.empty(2**28, device="cuda")
    target = torch.empty_like(source)
    (seconds,) = timed_in_turns(lambda: target.copy_(source), device="cuda", rounds=5)
    return 2 * source.numel() * source.element_size() / seconds
