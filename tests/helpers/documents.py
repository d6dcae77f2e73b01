"""The commands of the READMEs, and what a test runs in their place.

Every `sweep ...` in a code block or between backticks is one. A new one needs nothing here, unless it takes long
(`QUICKER`, `LESS`), is not complete (`COMPLETE`, `PLACES`), or cannot be run (`NOT_RUN`).
"""

import re
import shlex

from sweep.cli.main import main
from tests.helpers import DOCUMENTS, ROOT

TEXTS = {document: (ROOT / document).read_text() for document in DOCUMENTS}

# Why a command is not run, by the command.
NOT_RUN = {
    "sweep run --address auto": "needs a Ray cluster: tests/system/test_namespaces.py starts one and runs it there",
    "sweep run --address auto --out runs/first": "needs a Ray cluster, as the one above",
    "sweep resume runs/first --address auto": "needs a Ray cluster: tests/system/test_faults.py resumes sweeps on some",
}
# What stands in a command, and what is meant.
COMPLETE = {
    "DIR...": "DIR DIR2",
    "--log NAME": "--log tensorboard",
    "LAUNCHER [options of the job] -- [options of sweep run]": "docker -- --points 9",
    "sweep advise FILE.py:FUNCTION": "sweep advise my_networks.py:network --depth 5",
    "sweep probe --images-out": "sweep probe --sigma-w 1.3 --sigma-b 0.2 --depth 5 --images-out",
}
# What stands in a command that is run, and what takes less time.
QUICKER = {
    "sweep bench": "sweep bench --only direct --resize 4",
    "--data-dir data --download": "--data-dir data --download --resize 8",
    "--resize 14": "--resize 8",
    "--resize 16": "--resize 8",
    "--points 100": "--points 16",
    "--depth 10 100": "--depth 3 12",
    "--depth 5 30": "--depth 2 6",
    "--train all": "--train all --lr 0.1 --epochs 8 --train-images 512",
}
# Options of commands that measure, and the most that a test gives them; those that are not there are added.
LESS = {"--points": 14, "--images": 256, "--probe-steps": 10, "--epochs": 8}
# Words that stand for a sweep, by command.
PLACES = {
    "": {
        **{"DIR": "runs/first", "DIR2": "runs/second", "DIR3": "runs/both", "A": "runs/first", "B": "runs/second"},
        **{"/results/sweep": "runs/first", "/results/first": "runs/first"},
    },
    "compare": {"DIR": "runs/mnist_probe", "DIR2": "runs/mnist"},
    "plot": {"runs/paper": "runs/cascade"},  # what `python -m tests.study.make paper` makes takes long
}


def blocks(language, text):
    """Return the code blocks in a language."""
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def _lines_of(block):
    """Return the commands of a block that are ours."""
    lines = (line.partition(" #")[0] for line in block.replace("\\\n", " ").splitlines())
    parts = [part for line in lines for part in line.split(" && ")]
    return [" ".join(part.split()) for part in parts if part.startswith("sweep ")]


BLOCKS = {
    f"{document} {lines[0]}": lines
    for document, text in TEXTS.items()
    for block in blocks("sh", text)
    if (lines := _lines_of(block))
}


def _in_the_text():
    """Return commands between backticks; such as ``sweep run`` name one, and are not to be typed, but in a table."""
    commands = set()
    for text in TEXTS.values():
        text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
        for before, code in re.findall(r"(^\| )?`([^`]+)`", text, re.MULTILINE):
            if ours := re.search(r"(?:^|\s)(sweep [a-z].*)$", " ".join(code.split())):
                command = ours[1]
                assert command.split()[1] in main.commands, command
                if before or len(command.split()) > 2:
                    commands.add(command)
    return sorted(commands)


IN_THE_TEXT = _in_the_text()
EVERYTHING = sorted({*IN_THE_TEXT, *(line for lines in BLOCKS.values() for line in lines)})


def replaced(command, table):
    """Return a command with what a table says in place of what stands in it."""
    for text, other in table.items():
        command = re.sub(rf"{re.escape(text)}(?![\w-])", lambda _, other=other: other, command)
    return command


def words_of(command):
    """Return what a test runs: the command as it stands, but quicker, and with places that are there."""
    words = shlex.split(replaced(replaced(command, COMPLETE), QUICKER))[1:]
    places = PLACES[""] | PLACES.get(words[0], {})
    words = [places.get(word, word) for word in words]
    if words[0] == "launch" and "--" in words:
        words.insert(words.index("--"), "--dry-run")
    elif words[0] in ("run", "probe", "advise"):
        known = {name for option in main.commands[words[0]].params for name in option.opts}
        for option, most in LESS.items():
            if option in words:
                at = words.index(option) + 1
                words[at] = str(min(int(words[at]), most))
            elif option in known:
                words += [option, str(most)]
    return words
