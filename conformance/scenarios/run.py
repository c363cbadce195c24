"""Runs one scenario under the recorder, or lists all of them with --list. The recorder starts this; see scene.py."""

import importlib
import sys
from pathlib import Path

TOPICS = sorted(path.stem for path in Path(__file__).parent.glob("topic_*.py"))


def scenarios():
    """All scenarios by name: the public functions of the topics, in the order of their files."""
    found = {}
    for topic in TOPICS:
        module = importlib.import_module(topic)
        for name, value in vars(module).items():
            if getattr(value, "scenario", False):
                found[name.replace("_", "-")] = value
    return found


def main():
    if sys.argv[1:] == ["--list"]:
        print("\n".join(scenarios()))
        return
    (name,) = sys.argv[1:]
    from scene import Scene

    run = scenarios()[name]
    with Scene(run) as scene:
        run(scene)
        scene.ask("end")


if __name__ == "__main__":
    main()
