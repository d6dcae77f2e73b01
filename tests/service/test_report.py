import json
import re
import subprocess
import time

import numpy as np
import pytest
from click.testing import CliRunner

from probes import Point
from sweep.cli.main import main
from sweep.errors import SpecError
from sweep.measuring import single
from sweep.report import phase
from sweep.report.content import content
from sweep.report.document import write_report
from sweep.results.loading import load
from sweep.spec.options import measured
from sweep.spec.rows import row
from sweep.spec.spec import SweepSpec
from sweep.storage.store import Store
from sweep.storage.sweep_files import SPEC_FILE
from tests.helpers.browser import Page
from tests.helpers.landscape import FIXED, made_up
from tests.helpers.reports import HOSTILE, SHALLOW, spec_of, trained_sweep


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return trained_sweep(tmp_path_factory.mktemp("trained") / "sweep")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"dataset": 'it\'s "my" $(data)\n.npz', "resize": 14, "images": 100},
        {"probe": "cascade", "probe_steps": 20, "activation": "relu", "lr": (0.01, 0.1), "train": "all"},
        {"widths": (32, 16, 8), "probe": "direct", "penalty": 0.1, "epochs": 3, "level": 0.5},
        {"axis": ("lr 0.001 1 log", "width 8 64"), "train": "boundary", "probe": "direct"},
    ],
)
def test_the_command_measures_the_same_point_again(make_sweep, monkeypatch, options):
    asked = []

    def probe(spec, *, pictures, **others):
        asked.append((spec, pictures))
        raise SpecError("far enough")

    monkeypatch.setattr(single, "probe", probe)
    spec = SweepSpec(points=3, **options)
    found = content(make_sweep(spec, count=1))
    point = {n: found["points"][n][0] for n in ("sigma_w", "sigma_b", "depth", "seed")}
    assert found["command"].isprintable()  # nothing that a terminal obeys when it is pasted
    # Split as a shell does.
    command = ["bash", "-c", f"printf '%s\\0' {found['command']}"]
    split = subprocess.run(command, check=True, capture_output=True, env={"LC_ALL": "C.UTF-8"}, text=True).stdout
    words = split.split("\0")[:-1] + [f"--{n.replace('_', '-')}={v!r}" for n, v in point.items()]
    further = {n: found["points"][n][0] for n in spec.further_names}
    words += [f"--at={n}={v!r}" for n, v in further.items()]
    assert words[0] == "sweep"
    CliRunner().invoke(main, [*words[1:], "--images-out", "point.png"])
    ((again, pictures),) = asked
    assert pictures is True
    assert (again.sigma_w[0], again.sigma_b[0], again.depth[0], again.seed) == tuple(point.values())
    assert dict(again.middle_extra) == further
    for name in set(measured(spec)) - {"train"}:  # the pictures are of a trained network anyway
        assert getattr(again, name) == getattr(spec, name), name


# The page in a browser


@pytest.mark.parametrize(
    ("count", "failed", "fixed"),
    [(64, 3, {}), (1, 0, {}), (1, 1, {}), (0, 0, {}), (9, 0, {}), *((30, 2, f) for f in FIXED[1:])],
)
def test_it_opens_without_a_word(make_sweep, chromium, count, failed, fixed):
    more = {"replicas": 30} if len(fixed) == 3 else {} if fixed else {"points": 64}
    opened = Page(chromium, write_report(make_sweep(spec_of(fixed, **more), count=count, failed=failed)))
    opened.through()
    assert opened.js("[...document.querySelectorAll('main h2')].map(n => n.textContent)") == [
        *("Summary", "Phase diagram", "Critical line against theory", "Horizon against depth"),
        *("Prediction against truth", "Search history", "Cost", "Failures"),
    ]
    chips = opened.find("#chips").text.split("\n")  # a number, what it counts, a number, ...
    total = 30 if fixed else 64
    assert chips[:2] == [str(count - failed), f"of {total} points measured"]
    assert dict(zip(chips[1::2], chips[::2], strict=True)).get("failed", "0") == str(failed)
    opened.close()


@pytest.mark.parametrize("width", [360, 1280])
def test_light_and_dark_on_any_screen(trained, chromium, width):
    opened = Page(chromium, write_report(trained), width)
    opened.through()
    for scheme, ink in (("light", "rgb(26, 31, 36)"), ("dark", "rgb(232, 234, 237)")):
        opened.prefer(scheme)
        opened.wait(f"document.documentElement.dataset.theme == {scheme!r}")  # the page hears of it a little later
        assert opened.js("getComputedStyle(document.querySelector('#reach .xtick text')).fill") == ink
        for name in ("ink", "quiet", "accent", "warn", "theory", "blue"):
            for ground in ("paper", "soft"):
                # WCAG: 4.5 for text, 3 for lines
                assert contrast(opened, name, ground) >= (3 if name in ("theory", "blue") else 4.5), (name, ground)
    opened.prefer("light")
    opened.wait("document.documentElement.dataset.theme == 'light'")
    opened.find("#theme").click()  # dark, whatever the system says
    assert opened.js("document.documentElement.dataset.theme") == "dark"
    opened.close()


def contrast(opened, *names):
    def luminance(name):
        text = opened.js(f"getComputedStyle(document.documentElement).getPropertyValue('--{name}').trim()")
        c = np.array([int(text[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]

    high, low = sorted(map(luminance, names), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_the_sliders_move_the_boundary(make_sweep, chromium):
    from selenium.webdriver.common.keys import Keys

    results = make_sweep()
    opened = Page(chromium, write_report(results))
    opened.through()
    for slider, plot, values in (
        ("#slider-depth", "plane", results.phase.depths),
        ("#slider-sigma_b", "depths", results.phase.sigma_b),
    ):
        seen = []
        for key in (Keys.HOME, Keys.END):
            opened.find(slider).send_keys(key)
            time.sleep(0.3)
            seen.append(whites(opened, plot))
            end = values[0] if key == Keys.HOME else values[-1]
            assert opened.js(f"document.querySelector('{slider} + output').textContent").startswith(f"{end:.3g}")
        assert seen[0] != seen[1]
    shown = opened.js("document.getElementById('plane').data.find(t => t.line && t.line.color === '#ffffff').x")
    deep = results.boundary.query("depth == 60")["lower"].to_numpy()
    np.testing.assert_allclose(np.array(shown, dtype=float), deep, rtol=1e-4)
    good = opened.js("document.getElementById('plane').data.find(t => t.name === 'good').x.length")
    horizons = results.points["direct_horizon"]
    assert good == int((horizons >= 30).sum())  # at the depth of the slider, not at their own
    opened.close()


def whites(opened, plot, axis="x"):
    """The lines of the boundary in a plot."""
    lines = f"document.getElementById('{plot}').data.filter(t => t.line && t.line.color === '#ffffff')"
    return opened.js(f"{lines}.map(t => t.{axis})")


def test_the_slider_of_a_further_axis_moves_all_views(make_sweep, chromium, monkeypatch):
    from selenium.webdriver.common.keys import Keys

    monkeypatch.setattr(phase, "_FURTHER_COUNTS", (3, 2))
    results = make_sweep(SweepSpec(points=100, axis=("width 16 256 log",), sigma_b=(0.1, 0.5)), count=100)
    opened = Page(chromium, write_report(results))
    opened.through()
    depths = opened.js("JSON.parse(document.getElementById('data').textContent).phase.depths")
    at = int(opened.find("#slider-depth").get_attribute("value"))
    assert opened.js("document.querySelector('#slider-width + output').textContent") == "64"  # the middle
    seen = {}
    for key, width in ((None, 64), (Keys.HOME, 16), (Keys.END, 256)):
        if key:
            opened.find("#slider-width").send_keys(key)
            time.sleep(0.3)
        assert opened.js("document.querySelector('#slider-width + output').textContent") == str(width)
        table = results.boundary_at([depths[at]], {"width": width})
        ends = np.array(whites(opened, "plane"), dtype=float)
        np.testing.assert_allclose(ends, table[["lower", "upper"]].to_numpy().T, rtol=1e-4)
        black = opened.js("document.getElementById('plane').data.find(t => t.line && t.line.width === 2.6).x")
        np.testing.assert_allclose(np.array(black, dtype=float), table["critical"], rtol=1e-4)
        bright = opened.js(
            "document.getElementById('plane').data.filter(t => ['good', 'bad'].includes(t.name))"
            ".flatMap(t => t.customdata.filter((_, i) => t.marker.opacity[i] === 1)).sort((a, b) => a - b)"
        )
        distance = np.abs(np.log2(results.points["width"] / width)) / 4  # as a share of the range
        assert bright == np.flatnonzero(distance <= 0.125).tolist()
        colours = opened.js("['plane', 'depths'].map(n => document.getElementById(n).data[0].z)")
        seen[width] = (*colours, ends.tolist(), whites(opened, "depths"))
    for one, *others in zip(*seen.values(), strict=True):
        assert one not in others and others[0] != others[1]
    opened.close()


def test_a_plane_has_the_further_axis_up(make_sweep, chromium):
    from selenium.webdriver.common.keys import Keys

    results = make_sweep(SweepSpec(points=100, axis=("width 16 256 log",), sigma_b=(0.3, 0.3)), count=100)
    opened = Page(chromium, write_report(results))
    opened.through()
    assert opened.js("[document.getElementById('over-width')._fullLayout].map(l => l.yaxis.type)[0]") == "log"
    shown = []
    for key, depth in ((Keys.HOME, 5), (Keys.END, 60)):
        opened.find("#slider-depth-width").send_keys(key)
        time.sleep(0.3)
        field = opened.js("(t => [t.x, t.y, t.z])(document.getElementById('over-width').data[0])")
        across, up, z = (np.array(values, dtype=float) for values in field)
        mean, _ = results.phase.margin(sigma_w=across[7], width=up[9], depth=depth)
        assert z[9, 7] == pytest.approx(float(mean[0]), abs=2e-3)
        shown.append(opened.js("document.getElementById('over-width').data.find(t => t.name === 'good').x.length"))
    assert shown[0] > shown[1]  # at the depth of the slider
    opened.close()


@pytest.mark.parametrize(
    ("fixed", "axis", "views"),
    [
        ({}, ("lr 0.001 1 log",), ["plane", "depths", "over-lr"]),
        ({"sigma_b": (0.3, 0.3)}, ("lr 0.001 1 log", "width 16 64"), ["depths", "over-lr", "over-width"]),
        ({"sigma_b": (0.3, 0.3), "depth": (20, 20)}, ("width 16 64",), ["over-width"]),
        (FIXED[-1], ("lr 0.001 1 log", "width 16 64"), ["over-width"]),
        (FIXED[-1], ("width 16 256 log",), ["along"]),
        (FIXED[-1], ("lr 0.001 1 log",), ["along"]),
    ],
)
@pytest.mark.parametrize("count", [3, 24])
def test_further_axes_open_without_a_word(make_sweep, chromium, monkeypatch, fixed, axis, views, count):
    for name, value in (("_FURTHER_COUNTS", (3, 2)), ("_SLICE_SIGMA_B", 3), ("_SLICE_DEPTHS", 3)):
        monkeypatch.setattr(phase, name, value)
    train = {"train": "all"} if "lr" in axis[0] else {}
    results = make_sweep(SweepSpec(points=24, axis=axis, **train, **fixed), count=count, failed=1, shift=0.0)
    opened = Page(chromium, write_report(results))
    opened.through()
    assert opened.js("[...document.querySelectorAll('#phase [tabindex].plot')].map(n => n.id)") == views
    names = results.spec.further_names
    opened.find("#next").click()
    index = opened.js("document.getElementById('row').textContent.match(/seed(\\d+)status/)[1]")
    point = results.points.set_index("seed").loc[int(index)]
    command = opened.find("#command").text
    for name in names:
        assert float(re.search(rf"--at {name}=(\S+)", command)[1]) == point[name]
        assert f", {name} " in opened.find("#failures td:nth-of-type(2)").text
        if f"over-{name}" in views:
            title = opened.js(f"document.getElementById('over-{name}').querySelector('.ytitle').textContent")
            assert title == name
    opened.close()


def test_names_of_axes_are_text(make_sweep, chromium, monkeypatch):
    """Python allows names that mean something else in JavaScript."""
    from selenium.webdriver.common.keys import Keys

    monkeypatch.setattr(phase, "_FURTHER_COUNTS", (3, 2))
    names = ["__proto__", "constructor"]
    axes = ("__proto__ 0 1", "constructor 1 100 log int")
    spec = SweepSpec(points=24, axis=axes, network="net.py:f", depth=(5, 20), sigma_b=(0.3, 0.3))
    opened = Page(chromium, write_report(make_sweep(spec, count=24, failed=1)))
    opened.through()
    for name in names:
        assert name in opened.find(f"label[for=slider-{name}]").text
        before = whites(opened, "depths")
        opened.find(f"#slider-{name}").send_keys(Keys.HOME)
        time.sleep(0.3)
        opened.wait(f"document.getElementById('over-{name}').querySelector('.ytitle').textContent === '{name}'")
        assert f"--at {name}=" in opened.find("#command").text and before != whites(opened, "depths")
    assert "--images-out" not in opened.find("#command").text  # no function of the user's is run for pictures
    opened.close()


def place_of(opened, plot, name, index):
    """Where a mark is in the window, scrolled to."""
    opened.js(f"document.getElementById('{plot}').scrollIntoView({{block: 'center'}})")
    time.sleep(0.3)
    return opened.js(
        f"(() => {{ const p = document.getElementById('{plot}'), t = p.data.find(t => t.name === '{name}');"
        f"const s = p._fullLayout, r = p.getBoundingClientRect();"
        f"return [r.x + s.xaxis._offset + s.xaxis.d2p(t.x[{index}]), r.y + s.yaxis._offset + s.yaxis.d2p(t.y[{index}]),"
        f" t.customdata[{index}]]; }})()"
    )


def test_hover_shows_a_row_and_click_its_profile(make_sweep, chromium):
    from selenium.webdriver.common.action_chains import ActionChains

    results = make_sweep(count=20, failed=2)
    opened = Page(chromium, write_report(results))
    opened.through()
    for name in ("good", "failed"):
        x, y, index = place_of(opened, "plane", name, 0)
        point = results.points.iloc[index]
        pointer = ActionChains(chromium)
        pointer.w3c_actions.pointer_action.move_to_location(int(x), int(y))
        pointer.perform()
        hover = opened.wait("(document.querySelector('#plane .hoverlayer') || {}).textContent")
        assert f"seed {point['seed']}" in hover and f"depth {point['depth']}" in hover
        if name == "failed":
            assert "<b>no & luck</b>" in hover and opened.js("!document.querySelector('.hoverlayer b')")
        ActionChains(chromium).click().perform()
        opened.wait(f"document.getElementById('row').textContent.includes({json.dumps(str(point['sigma_w']))})")
        command = opened.find("#command").text
        assert f"--sigma-w {point['sigma_w']} --sigma-b {point['sigma_b']} --depth {point['depth']}" in command
        layers = opened.js("document.getElementById('profile').data.filter(t => t.hovertemplate).map(t => t.x.at(-1))")
        assert layers == ([point["depth"]] if name == "good" else [])
    opened.find("#copy").click()
    opened.wait("document.getElementById('copy').textContent === 'Copied'")
    opened.close()


def test_a_click_shows_reconstructions_or_those_nearby(make_sweep, chromium, tmp_path):
    results = make_sweep(SHALLOW, count=8)
    own = set(results.points["seed"].iloc[content(results, 2)["reconstructions"]["at"]])
    opened = Page(chromium, write_report(results, reconstructions=2))
    opened.through()
    without = set()
    for _ in range(8):
        opened.find("#next").click()
        seed = int(re.search(r"--seed (\d+)", opened.find("#command").text)[1])
        if opened.js("!!document.getElementById('nearest')"):
            without.add(seed)
        tiles = opened.js(
            "[...document.querySelectorAll('#tiles img')].map(i => [i.complete && i.naturalWidth, i.alt])"
        )
        assert [w for w, _ in tiles] == [8] * len(tiles) and tiles[0][1] == "A test image" and len(tiles) >= 3
    assert without == set(range(8)) - own and len(own) == 2
    while not opened.js("!!document.getElementById('nearest')"):
        opened.find("#next").click()
    opened.find("#nearest").click()
    assert opened.js("!document.getElementById('nearest')")
    opened.close()


def test_all_can_be_reached_with_keys(make_sweep, chromium):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    opened = Page(chromium, write_report(make_sweep()))
    opened.through()
    reached = []
    for _ in range(40):
        ActionChains(chromium).send_keys(Keys.TAB).perform()
        reached.append(opened.js("document.activeElement.id || document.activeElement.textContent"))
    for wanted in ("theme", "slider-depth", "plane", "slider-sigma_b", "depths", "previous", "next", "command", "copy"):
        assert wanted in reached, wanted
    assert "Search history" in reached and reached[0] == "Skip to the results"
    before = opened.find(".steps span").text
    opened.find("#plane").send_keys(Keys.ARROW_RIGHT)
    assert opened.find(".steps span").text != before
    opened.find("#plane").send_keys(Keys.ARROW_LEFT)
    assert opened.find(".steps span").text == before
    opened.close()


def test_hostile_strings_are_shown_as_text(make_sweep, chromium, tmp_path):
    results = make_sweep(SweepSpec(points=20, dataset=HOSTILE), count=18)
    for i in range(2):
        m = made_up(Point(1.0 + 0.1 * i, 0.3, 20, 100 + i), status="failed")
        bad = row(m, pack=1, device=HOSTILE, hostname=HOSTILE, finished=2e9) | {"error": f"Error: {HOSTILE}"}
        results.store.write([bad])
    (results.path / "parts" / "<img src=x onerror=window.hacked=1>.parquet").write_text("nothing")
    opened = Page(chromium, write_report(load(results.path), tmp_path / "<b>&'\".html"))
    opened.through()
    x, y, _ = place_of(opened, "plane", "failed", 0)
    for kind in ("mousePressed", "mouseReleased"):
        chromium.execute_cdp_cmd(
            "Input.dispatchMouseEvent", {"type": kind, "x": x, "y": y, "button": "left", "clickCount": 1}
        )
    opened.wait("document.getElementById('row').textContent.includes('Error: </script><img src=x')")
    assert opened.js("typeof window.hacked") == "undefined"
    assert opened.js("document.querySelectorAll('img, main b, header b b, iframe, object').length") == 0
    assert "onerror" not in opened.js("[...document.querySelectorAll('*')].flatMap(n => n.getAttributeNames()).join()")
    failures = opened.find("#failures").text
    assert "Error: </script><img src=x onerror='window.hacked=1'>" in failures and "<b>bold</b>&lt;" in failures
    assert "parts/<img src=x onerror=window.hacked=1>.parquet" in failures
    assert "\x1b" not in opened.js("document.body.innerText")
    opened.close()


def test_no_other_script_may_run(make_sweep, chromium, tmp_path):
    """Were markup to get into the page after all."""
    path = write_report(make_sweep(count=1), tmp_path / "page.html")
    evil = "<script>window.hacked=1</script><img src=x onerror='window.hacked=1'><img src='http://127.0.0.1:9/x'>"
    path.write_text(path.read_text().replace("<noscript>", evil + "<noscript>"))
    opened = Page(chromium, path)
    assert opened.js("typeof window.hacked") == "undefined"
    refused = [e["message"] for e in chromium.get_log("browser")]
    assert len([m for m in refused if "Content Security Policy" in m]) >= 2


def test_a_large_sweep_opens_at_once(tmp_path, chromium, capsys):
    """2,000 points of 60 layers; `tests.benchmarks.large` does it with 100,000."""
    spec = SweepSpec(points=2000, depth=(60, 60), search="sobol")
    spec.save(tmp_path / SPEC_FILE)
    store = Store(tmp_path, spec.digest)
    store.create()
    rng = np.random.default_rng(0)
    layers = np.arange(1, 61)
    for start in range(0, spec.points, 1000):
        rows = []
        for seed in range(start, start + 1000):
            point = Point(float(rng.uniform(*spec.sigma_w)), float(rng.uniform(*spec.sigma_b)), 60, seed)
            m = made_up(point, status="failed" if seed % 100 == 0 else "ok")
            if m.status == "ok":
                noisy = np.exp(-layers / m.values["direct_horizon"]) + rng.normal(0, 0.01, 60)
                m.profiles.update(direct_retained=noisy, cascade_retained=noisy)
            rows.append(row(m, pack=64, device="cuda:0", hostname=f"node-{seed % 40}", finished=1e9 + seed))
        store.write(rows)
    path = write_report(load(tmp_path))
    size = path.stat().st_size / 1e6
    opened = Page(chromium, path)
    opened.through()
    with capsys.disabled():
        print(f"\n{spec.points} points x 60 layers: {size:.1f} MB, opened in {opened.seconds:.1f} s")
    assert size < 10
    assert "600 points of 2,000" in opened.find("#phase").text
    opened.close()
