"""Plans: what is shown, written and run."""

from sweep.launch.plan import Plan

WORDS = {"watch": "w", "fetch": "f", "stop": "s"}


def test_text_shows_all_but_secrets(tmp_path):
    plan = Plan([["a", "b c"]], **WORDS, stdin="in hush", files={tmp_path / "x": "text hush\n"}, secrets=("hush",))
    text = plan.text()
    assert "hush" not in text and text.count("(made anew when submitted)") == 2
    assert f"# {tmp_path / 'x'}\ntext" in text and text.endswith("$ a 'b c'")
    assert list(tmp_path.iterdir()) == []
    assert plan.advice().splitlines() == ["watch   w", "fetch   f", "stop    s"]
