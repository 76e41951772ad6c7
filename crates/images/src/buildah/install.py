"""Installs the pip section of a conda document into an environment of this image's own Python."""

import importlib.util
import json
import os
import subprocess
import sys

FOLDER = os.path.dirname(os.path.abspath(__file__))
SECRET = "/run/portway-pip.conf"


def allows(clauses, found):
    def holds(operator, version, prefix):
        same = found[: len(version)] == version if prefix else found == version
        return {
            "=": same,
            "!=": not same,
            ">=": found >= version,
            "<=": found <= version,
            ">": found > version,
            "<": found < version,
        }[operator]

    return all(holds(*clause) for clause in clauses)


def fail(message):
    sys.exit("portway: " + message)


def has(module):
    return importlib.util.find_spec(module) is not None


def own_pip():
    """Whether the interpreter's own pip can install into another environment, which it can since 22.3."""
    if not has("pip"):
        return False
    import pip

    return [int(part) for part in pip.__version__.split(".")[:2]] >= [22, 3]


def run(*command):
    status = subprocess.run([sys.executable, "-I", *command]).returncode
    if status:
        sys.exit(status if status > 0 else 1)


def main():
    with open(os.path.join(FOLDER, "environment.json")) as file:
        plan = json.load(file)
    found = list(sys.version_info[:3])
    version = ".".join(map(str, found))
    if not allows(plan["clauses"], found):
        fail(
            f"the conda document wants python{plan['python']}, and python3 of this image is {version}; "
            "change the document, or start from an image that has it"
        )
    remedy = "install it with a docker step (on Debian and Ubuntu: python3-venv and python3-pip)"
    if not has("venv"):
        fail(f"python3 of this image, {version}, has no module venv; {remedy}")
    own = own_pip()
    if not own and plan["install"] and not has("ensurepip"):
        fail(f"python3 of this image, {version}, has no pip; {remedy}")
    folder = plan["folder"]
    run("-m", "venv", *(["--without-pip"] if own or not plan["install"] else []), folder)
    if plan["install"]:
        if os.path.exists(SECRET):
            os.environ["PIP_CONFIG_FILE"] = SECRET
        python = os.path.join(folder, "bin", "python")
        if own:
            pip = ["-m", "pip", "--python", python]
        else:
            sys.executable = python
            pip = ["-m", "pip"]
        options = ["--disable-pip-version-check", "--no-input", "--no-cache-dir", "--progress-bar", "off"]
        requirements = os.path.join(FOLDER, "requirements.txt")
        run(*pip, "install", *options, *plan["arguments"], "--requirement", requirements)
    print(f"python {version} with the pip section stands in {folder}", flush=True)


if __name__ == "__main__":
    main()
