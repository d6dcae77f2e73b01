import base64
import io
import json
import re
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from matplotlib.image import imread

from probes import Point
from sweep.cli.main import main
from sweep.errors import SpecError
from sweep.measuring import single
from sweep.measuring.reconstruct import Painter, spread
from sweep.plots import gallery
from sweep.report import pictures
from sweep.report.document import content, draw, page
from sweep.results.loading import load
from sweep.spec.options import MEASURED
from sweep.spec.rows import point_of, row
from sweep.spec.spec import SweepSpec
from sweep.storage.home import SPEC_FILE
from sweep.storage.store import Store
from tests.helpers.landscape import FIXED, made_up, true_horizon

HOSTILE = "</script><img src=x onerror='window.hacked=1'>\"\n\\u003c${window.hacked=1}<b>bold</b>&lt;\u2028\x1b[31m"


def spec_of(fixed, **more):
    return SweepSpec(points=1 if len(fixed) == 3 else 30, **fixed, **more)


@pytest.fixture
def trained(make_sweep):
    """A sweep that trained half of its networks, some of them on another host."""
    results = make_sweep(SweepSpec(points=1, train="boundary"), count=0)
    rng = np.random.default_rng(0)
    for i in range(60):
        point = Point(float(rng.uniform(0.5, 2.5)), float(rng.uniform(0.05, 1)), int(rng.integers(5, 61)), i)
        more = {"pack": 1, "device": "cpu", "hostname": f"host-{i % 2}", "finished": 1e9 + i}
        if i % 2:
            good = true_horizon(point.sigma_w, point.sigma_b) > point.depth * np.exp(rng.normal(0, 0.3))
            more |= {"accuracy": 0.9 if good else 0.1, "chance": 0.1, "train_seconds": 2.0 * point.depth}
            more |= {"train_epochs": 15, "train_images": 6400, "train_flops": 1e9, "lr": 0.01}
        results.store.write([row(made_up(point), **more)])
    return load(results.path)


# What the page is made of


@pytest.mark.parametrize("fixed", FIXED)
@pytest.mark.parametrize(("count", "failed"), [(0, 0), (1, 0), (1, 1), (30, 2), (30, 30)])
def test_any_sweep_has_a_report(make_sweep, fixed, count, failed):
    found = content(make_sweep(spec_of(fixed), count=count, failed=failed))
    json.dumps(found, allow_nan=False)
    assert found["status"]["failed"] == failed == sum(k for _, k, *_ in found["failures"]["rows"])
    assert len(found["points"]["seed"]) == count
    assert found["sentence"].endswith((".", "!"))
    assert (found["phase"] is not None) == (count - failed >= 10 and len(fixed) < 2)
    assert (found["line"] is not None) == (count - failed >= 10 and len(fixed) == 2)


def test_the_sentence_says_what_the_tables_say(make_sweep):
    results = make_sweep()
    middle = results.boundary.query("depth == 60").iloc[10]
    said = content(results)["sentence"]
    assert f"At σ_b = {middle['sigma_b']:.2f} information travels deepest at σ_w = {middle['critical']:.2f}" in said
    assert f"mean field theory says {middle['theory']:.2f}" in said
    assert content(make_sweep(count=0, folder="none"))["sentence"] == "Nothing has been measured yet."
    assert "None of the 3 points" in content(make_sweep(count=3, failed=3, folder="failed"))["sentence"]


def test_the_boundary_is_that_of_the_table_at_every_depth_of_the_slider(make_sweep):
    results = make_sweep()
    phase = content(results)["phase"]
    assert phase["depths"][0] == 5 and phase["depths"][-1] == 60 and len(phase["depths"]) > 10
    table = results.boundary_at(phase["depths"])
    for end in ("lower", "upper_95"):
        shown = np.array(phase["boundary"][end], dtype=float)
        np.testing.assert_allclose(shown.ravel(), table[end].to_numpy(), rtol=1e-4)
    mean, _ = results.phase.margin(phase["sigma_w"][40], phase["sigma_b"][3], phase["grid_depths"][0])
    assert phase["margin"][0][3][40] == pytest.approx(float(mean[0]), abs=1e-3)


def test_a_network_that_contains_no_shallower_one_has_a_plane_for_each_depth(make_sweep):
    spec = SweepSpec(points=40, architecture="shrinking", widths=None)
    found = content(make_sweep(spec, count=40))
    assert not found["through_depth"]
    assert np.shape(found["phase"]["margin"])[0] == len(found["phase"]["depths"]) == 8


def test_the_history_ends_with_what_is_known_now(make_sweep):
    results = make_sweep()
    history = content(results)["history"]
    assert history["points"][0] == 10 and history["points"][-1] == 64
    assert history["error"][-1] == pytest.approx(results.phase.expected_error, rel=1e-3)
    assert history["error"][-1] < history["error"][0]
    assert history["seconds"] == sorted(history["seconds"]) and history["seconds"][-1] == 63


def test_costs_are_those_of_the_rows(trained):
    cost = content(trained)["cost"]
    kinds = {k[0]: k[1:] for k in cost["kinds"]}
    assert kinds["direct"] == [60, "0.1 s", "6 s", None]
    points = trained.points
    known = points[points["train_seconds"].notna()]
    assert kinds["training"][0] == 30 and kinds["training"][3] == 3e10
    of_all = next(v for k, v in kinds.items() if "extrapolated" in k)
    assert of_all[3] == pytest.approx(3e10 * points["depth"].sum() / known["depth"].sum(), rel=0.01)
    assert [h[:3] for h in sorted(cost["hosts"])] == [["host-0", "cpu", 30], ["host-1", "cpu", 30]]
    assert cost["rate"] == 1.0


def test_what_training_would_cost_is_estimated(make_sweep):
    (_, training) = content(make_sweep(count=12))["cost"]["kinds"]
    assert "estimated" in training[0] and training[1] == 12 and training[4] > 1e9


def test_truth_is_compared_as_sweep_compare_does(trained):
    from sweep.analysis.compare import compare

    truth, found = content(trained)["truth"], compare(trained)
    assert truth["trained"] == truth["compared"] == 30 and truth["trainable"] == found.info["trainable"]
    for name, (wrong, right) in truth["roc"].items():
        assert np.trapezoid(right, wrong) == pytest.approx(found.table.loc[name, "auc"], abs=1e-3)
    assert truth["roc"]
    few = content_of_first(trained, 8)
    assert "at least 12 trained points" in few["why_not"] and few["trained"] == 4


def content_of_first(results, count):
    results = load(results.path)
    results.points = results.points.sort_values("finished").iloc[:count]
    return content(results)["truth"]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"dataset": 'it\'s "my" $(data)\n.npz', "resize": 14, "images": 100},
        {"probe": "cascade", "probe_steps": 20, "activation": "relu", "lr": (0.01, 0.1), "train": "all"},
        {"widths": (32, 16, 8), "probe": "direct", "penalty": 0.1, "epochs": 3, "level": 0.5},
    ],
)
def test_the_command_measures_the_same_point_again(make_sweep, monkeypatch, options):
    asked = []

    def probe(spec, pictures):
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
    assert words[0] == "sweep"
    CliRunner().invoke(main, [*words[1:], "--images-out", "point.png"])
    ((again, pictures),) = asked
    assert pictures.name == "point.png"
    assert (again.sigma_w[0], again.sigma_b[0], again.depth[0], again.seed) == tuple(point.values())
    for name in set(MEASURED) - {"train"}:  # the pictures are of a trained network anyway
        assert getattr(again, name) == getattr(spec, name), name


def test_profiles_are_those_of_their_points(make_sweep):
    results = make_sweep(count=30, failed=3)
    found = content(results)
    for i, curve in enumerate(found["profiles"]["direct_retained"]):
        depth = found["points"]["depth"][i]
        if found["points"]["status"][i] == "failed":
            assert curve is None
            continue
        layers, values = curve
        assert layers[0] == 1 and layers[-1] == depth and len(layers) == min(depth, 40)
        np.testing.assert_allclose(values, np.interp(layers, [1, depth], [1, 0.3]), atol=1e-4)


SHALLOW = SweepSpec(points=12, depth=(2, 4), images=64, probe_steps=3)


def test_reconstructions_are_those_of_their_points(make_sweep, monkeypatch):
    results = make_sweep(SHALLOW, count=12, failed=3)
    found = content(results, None)["reconstructions"]
    assert sorted(results.points["seed"].iloc[found["at"]]) == list(range(3, 12)) and "why_not" not in found
    assert content(results, 4)["reconstructions"] == {name: values[:4] for name, values in found.items()}
    at, layers = found["at"][1], found["layers"][1]
    point, painter = dict(spread(results.points, SHALLOW))[at], Painter(SHALLOW)
    assert point == point_of(results.points.iloc[at])
    assert layers == list(range(1, point.depth + 1)) and len(found["images"][1]) == 1 + len(layers)
    images = painter.images(point, layers)
    for uri, image in zip(found["images"][1], images, strict=True):
        seen = imread(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/png;base64,"))))[..., 0]
        np.testing.assert_allclose(seen, gallery.stretched(image, 0), atol=2 / 255)  # rounded twice
    assert np.array_equal(images[0].ravel(), painter._images.test[0].ravel())
    monkeypatch.setattr(pictures, "_OPERATIONS", 1.5 * painter.cost(4))
    few = content(results, None)["reconstructions"]["at"]
    assert 0 < len(few) < 9
    monkeypatch.setattr(pictures, "_OPERATIONS", 0)
    assert "--reconstructions N" in content(results, None)["reconstructions"]["why_not"]


def test_reconstructions_without_the_data_set(make_sweep, tmp_path):
    spec = replace(SHALLOW, dataset="mnist", data_dir=str(tmp_path / "<b>nowhere</b>"))
    found = content(make_sweep(spec, count=3), None)["reconstructions"]
    assert found["at"] == [] and "nowhere" in found["why_not"]
    assert content(make_sweep(spec, count=0, folder="empty"), None)["reconstructions"]["at"] == []


def test_large_sweeps_show_a_sample_with_failed_points(make_sweep, monkeypatch):
    monkeypatch.setattr("sweep.report.data._SHOWN", 20)
    monkeypatch.setattr("sweep.report.data._FAILED_SHOWN", 5)
    found = content(make_sweep(count=60, failed=10))
    assert found["all_points"] == 60 and len(found["points"]["seed"]) == 20
    assert found["points"]["status"].count("failed") == 5
    assert found["failures"]["rows"][0][1] == 10


def test_hostile_strings_cannot_end_the_data(make_sweep):
    spec = SweepSpec(points=3, dataset=HOSTILE)
    text = page(content(make_sweep(spec, count=3)))
    assert len(re.findall("<script", text)) == len(re.findall("</script", text)) == 3
    assert "<img" not in text.partition("</title>")[0]
    data = text.partition('id="data">')[2].partition("</script>")[0]
    assert not set("<>&\u2028") & set(data)
    (shown,) = (value for name, value, _ in json.loads(data)["settings"] if name == "dataset")
    assert shown == HOSTILE.replace("\n", "\\n").replace("\u2028", "\\u2028").replace("\x1b", "\\x1b")


def test_the_command_line(make_sweep, tmp_path, monkeypatch):
    path = str(make_sweep(count=12).path)
    invoke = CliRunner().invoke
    done = invoke(main, ["report", path])
    assert done.exit_code == 0 and done.output.strip() == f"{path}/report.html"
    other = tmp_path / "other.htm"
    other.symlink_to(tmp_path / "untouched")
    assert invoke(main, ["report", path, "-o", str(other)]).exit_code == 0
    assert not other.is_symlink() and not (tmp_path / "untouched").exists()
    for options, some in (([], True), (["--reconstructions", "0"], False)):
        assert invoke(main, ["report", path, *options]).exit_code == 0
        written = (Path(path) / "report.html").read_text()
        found = json.loads(re.search(r'id="data">(.*?)</script>', written, re.DOTALL)[1])
        assert bool(found["reconstructions"]["images"]) == some
    for output, says in (("report.pdf", ".html or .htm"), ("nowhere/report.html", "no folder")):
        failed = invoke(main, ["report", path, "-o", output])
        assert failed.exit_code == 2 and says in failed.output and "'--output'" in failed.output
    assert invoke(main, ["report", str(tmp_path)]).exit_code == 2
    assert "Example: sweep report" in invoke(main, ["report", "--help"]).output


# The page in a browser


class Page:
    """A report in the browser; `close` says what is wrong with it."""

    def __init__(self, browser, path, width=1280, scheme="light"):
        self.browser = browser
        touch = width < 600
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": touch}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        for kind in ("browser", "performance"):
            browser.get_log(kind)
        self.url = path.resolve().as_uri()
        started = time.monotonic()
        browser.get(self.url)
        self.wait("document.documentElement.dataset.ready")
        self.seconds = time.monotonic() - started

    def js(self, code, *arguments):
        return self.browser.execute_script(f"return {code}", *arguments)

    def wait(self, code, seconds=20):
        end = time.monotonic() + seconds
        while not (found := self.js(code)):
            assert time.monotonic() < end, f"never: {code}"
            time.sleep(0.02)
        return found

    def find(self, selector):
        return self.browser.find_element("css selector", selector)

    def through(self):
        """Scroll from end to end, so that everything is drawn."""
        self.js("window.scrollTo(0, 0)")
        while self.js("(scrollBy(0, 400), scrollY + innerHeight < document.documentElement.scrollHeight - 2)"):
            time.sleep(0.03)
        self.wait("[...document.querySelectorAll('.plot')].every(n => n.querySelector('.main-svg'))")
        self.js("window.scrollTo(0, 0)")

    def close(self):
        told = [e["message"] for e in self.browser.get_log("browser")]
        assert not told, told
        sent = [json.loads(e["message"])["message"] for e in self.browser.get_log("performance")]
        urls = {e["params"]["request"]["url"] for e in sent if e["method"] == "Network.requestWillBeSent"}
        assert {u for u in urls if not u.startswith(("data:", "blob:"))} == {self.url}, urls
        assert self.js("document.documentElement.scrollWidth") <= self.js("window.innerWidth")


@pytest.mark.parametrize(
    ("count", "failed", "fixed"),
    [(64, 3, {}), (1, 0, {}), (1, 1, {}), (0, 0, {}), (9, 0, {}), *((30, 2, f) for f in FIXED[1:])],
)
def test_it_opens_without_a_word(make_sweep, chromium, count, failed, fixed):
    opened = Page(chromium, draw(make_sweep(spec_of(fixed), count=count, failed=failed)))
    opened.through()
    assert opened.js("[...document.querySelectorAll('main h2')].map(n => n.textContent)") == [
        *("Summary", "Phase diagram", "Critical line against theory", "Horizon against depth"),
        *("Prediction against truth", "Search history", "Cost", "Failures"),
    ]
    chips = opened.find("#chips").text.split("\n")  # a number, what it counts, a number, ...
    total = "30 points" if len(fixed) < 3 else "1 point"
    assert chips[:2] == [str(count - failed), f"of {total} measured"]
    assert dict(zip(chips[1::2], chips[::2], strict=True)).get("failed", "0") == str(failed)
    opened.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_light_and_dark_on_any_screen(trained, chromium, width, scheme):
    opened = Page(chromium, draw(trained), width, scheme)
    opened.through()
    assert opened.js("document.documentElement.dataset.theme") == scheme
    ink = opened.js("getComputedStyle(document.querySelector('#reach .xtick text')).fill")
    assert ink == ("rgb(26, 31, 36)" if scheme == "light" else "rgb(232, 234, 237)")
    for name in ("ink", "quiet", "accent", "warn", "theory", "blue"):
        for ground in ("paper", "soft"):
            # WCAG: 4.5 for text, 3 for lines
            assert contrast(opened, name, ground) >= (3 if name in ("theory", "blue") else 4.5), (name, ground)
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
    opened = Page(chromium, draw(results))
    opened.through()
    for slider, plot, values in (
        ("#slider-depth", "plane", results.phase.depths),
        ("#slider-sigma_b", "depths", results.phase.sigma_b),
    ):
        seen = []
        for key in (Keys.HOME, Keys.END):
            opened.find(slider).send_keys(key)
            time.sleep(0.3)
            whites = f"document.getElementById('{plot}').data.filter(t => t.line && t.line.color === '#ffffff')"
            seen.append(opened.js(f"{whites}.map(t => t.x)"))
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
    opened = Page(chromium, draw(results))
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
    opened = Page(chromium, draw(results, reconstructions=2))
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

    opened = Page(chromium, draw(make_sweep()))
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
    opened = Page(chromium, draw(load(results.path), tmp_path / "<b>&'\".html"))
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
    path = draw(make_sweep(count=1), tmp_path / "page.html")
    evil = "<script>window.hacked=1</script><img src=x onerror='window.hacked=1'><img src='http://127.0.0.1:9/x'>"
    path.write_text(path.read_text().replace("<noscript>", evil + "<noscript>"))
    opened = Page(chromium, path)
    assert opened.js("typeof window.hacked") == "undefined"
    refused = [e["message"] for e in chromium.get_log("browser")]
    assert len([m for m in refused if "Content Security Policy" in m]) >= 2


def test_a_hundred_thousand_points_of_sixty_layers(tmp_path, chromium, capsys):
    spec = SweepSpec(points=100_000, depth=(60, 60), search="sobol")
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
    started = time.monotonic()
    path = draw(load(tmp_path))
    made = time.monotonic() - started
    size = path.stat().st_size / 1e6
    opened = Page(chromium, path)
    opened.through()
    with capsys.disabled():
        print(f"\n100,000 points x 60 layers: {size:.1f} MB, made in {made:.0f} s, opened in {opened.seconds:.1f} s")
    assert size < 10
    assert opened.seconds < 9  # 3 s; tests share their machine
    assert "600 points of 100,000" in opened.find("#phase").text
    opened.close()
