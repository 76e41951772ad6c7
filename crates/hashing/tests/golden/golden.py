#!/usr/bin/env python3
"""Second implementation of the image key and of the tree digest, with nothing but the standard library.

    golden.py          prints the vectors
    golden.py --check  compares them with vectors.json beside this file

It does not read YAML: a conda document stands here as text (for the first implementation) and as its meaning (for this one).
A vector that changes means a new domain, never an edit.
"""

import hashlib
import json
import pathlib
import struct
import sys

# --- image key ---------------------------------------------------------------------------------------------------------

OS, ARCHITECTURE, VARIANT, BASE_PINNED, BASE_AS_WRITTEN, STEPS, CONDA, RECIPE = range(1, 9)
TEXT, LIST, MAP = 0x20, 0x21, 0x22


def sized(tag, count):
    return struct.pack("<BQ", tag, count)


def field(tag, data):
    return sized(tag, len(data)) + data


def text(value, tag=TEXT):
    return field(tag, value.encode())


def node(value):
    if isinstance(value, str):
        return text(value)
    if isinstance(value, list):
        return sized(LIST, len(value)) + b"".join(map(node, value))
    entries = sorted((key.encode(), key) for key in value)
    return sized(MAP, len(entries)) + b"".join(text(key) + node(value[key]) for _, key in entries)


def image_key(case):
    os, architecture, *variant = case["platform"].split("/")
    out = b"portway/image/v1\0" + text(os, OS) + text(architecture, ARCHITECTURE)
    out += sized(VARIANT, len(variant)) + b"".join(map(text, variant))
    if "pinned" in case["base"]:
        out += field(BASE_PINNED, bytes.fromhex(case["base"]["pinned"].split("@sha256:")[1]))
    else:
        out += text(case["base"]["as_written"], BASE_AS_WRITTEN)
    out += sized(STEPS, len(case["steps"])) + b"".join(map(text, case["steps"]))
    conda = case["conda"]
    out += sized(CONDA, 0 if conda is None else 1)
    if conda is not None:
        out += node({key: value for key, value in conda["meaning"].items() if key not in ("name", "prefix")})
    out += text(case["recipe"], RECIPE)
    return "v1-" + hashlib.sha256(out).hexdigest()


# --- tree digest -------------------------------------------------------------------------------------------------------


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def length(data):
    return struct.pack("<Q", len(data))


def tree(folder):
    out = b"portway/dir/v1\0"
    for name, child in sorted((name.encode(), child) for name, child in folder.items()):
        if "link" in child:
            target = child["link"].encode()
            kind, digest = b"l", sha256(b"portway/link/v1\0", length(target), target)
        elif "text" in child:
            content = child["text"].encode()
            executable = b"\1" if child.get("executable") else b"\0"
            kind, digest = b"f", sha256(b"portway/file/v1\0", executable, length(content), content)
        else:
            kind, digest = b"d", tree(child["folder"])
        out += kind + length(name) + name + digest
    return sha256(out)


# --- cases -------------------------------------------------------------------------------------------------------------

DIGEST = hashlib.sha256(b"a base image").hexdigest()
NUMPY = {"dependencies": ["python=3.11", {"pip": ["numpy==1.10"]}]}
IMAGES = []


def image(name, platform="linux/amd64", base=None, steps=(), conda=None, meaning=None, recipe="buildah-1"):
    case = {"name": name, "platform": platform, "base": base or {"as_written": "debian:12"}, "steps": list(steps)}
    case["conda"] = None if conda is None else {"yaml": conda, "meaning": meaning}
    case["recipe"] = recipe
    IMAGES.append({**case, "key": image_key(case)})


def conda(name, yaml, meaning):
    image(name, conda=yaml, meaning=meaning)


image("nothing but a base")
image("another platform", platform="linux/arm64")
image("a variant", platform="linux/arm/v7")
image("a variant is not the end of the architecture", platform="linux/armv7")
image("another base", base={"as_written": "debian:13"})
image("a pinned base", base={"pinned": "library/debian@sha256:" + DIGEST})
image("the same base from a mirror", base={"pinned": "mirror.test:5000/debian@sha256:" + DIGEST})
image("the same base kept as written", base={"as_written": "library/debian@sha256:" + DIGEST})
image("another recipe", recipe="buildah-2")
image("one step", steps=["RUN apt-get update"])
image("two steps", steps=["RUN a", "RUN b"])
image("two steps the other way round", steps=["RUN b", "RUN a"])
image("two steps in one", steps=["RUN aRUN b"])
image("two steps on two lines of one", steps=["RUN a\nRUN b"])
image("an empty step", steps=[""])
image("two empty steps", steps=["", ""])
image("a step beyond ascii", steps=["RUN echo grüße 🦀"])
image("a step with a zero byte", steps=["RUN a\0b"])
conda("an empty document", "{}", {})
conda("only a name", "name: demo\n", {"name": "demo"})
conda("name and prefix don't count", "name: demo\nprefix: /opt/demo\n", {"name": "demo", "prefix": "/opt/demo"})
conda("an empty list of dependencies", "dependencies: []\n", {"dependencies": []})
conda("block style", "dependencies:\n  - python=3.11\n  - pip:\n      - numpy==1.10\n", NUMPY)
conda("flow style", '{"dependencies": ["python=3.11", {"pip": ["numpy==1.10"]}]}', NUMPY)
conda("comments and layout", "# why\nname: x   # a name\n\ndependencies:   # these\n- 'python=3.11'\n- pip: [  numpy==1.10  ]\n", {"name": "x", **NUMPY})
conda("windows line ends", "dependencies:\r\n  - python=3.11\r\n  - pip:\r\n      - numpy==1.10\r\n", NUMPY)
conda("a byte order mark", "\ufeffdependencies:\n- python=3.11\n- pip:\n  - numpy==1.10\n", NUMPY)
conda("document markers", "---\ndependencies:\n- python=3.11\n- pip:\n  - numpy==1.10\n...\n", NUMPY)
conda("aliases", "dependencies:\n- &p python=3.11\n- *p\n", {"dependencies": ["python=3.11", "python=3.11"]})
conda("an aliased list", "x: &l [a, b]\ny: *l\n", {"x": ["a", "b"], "y": ["a", "b"]})
conda("a number is its text", "variables: {v: 1.10}\n", {"variables": {"v": "1.10"}})
conda("quotes don't count", "variables: {v: '1.10'}\n", {"variables": {"v": "1.10"}})
conda("another number", "variables: {v: 1.1}\n", {"variables": {"v": "1.1"}})
conda("a truth value is its text", "variables: {v: no}\n", {"variables": {"v": "no"}})
conda("another truth value", "variables: {v: false}\n", {"variables": {"v": "false"}})
conda("a null outside lists is its text", "variables: {v: ~}\n", {"variables": {"v": "~"}})
conda("an empty text", "variables: {v: ''}\n", {"variables": {"v": ""}})
conda("a date, an octal and a sexagesimal", "dependencies: [2026-01-02, 0o17, 1:30]\n", {"dependencies": ["2026-01-02", "0o17", "1:30"]})
conda("order of channels", "channels: [defaults, conda-forge]\n", {"channels": ["defaults", "conda-forge"]})
conda("order of channels the other way round", "channels: [conda-forge, defaults]\n", {"channels": ["conda-forge", "defaults"]})
conda("order of dependencies", "dependencies: [b, a]\n", {"dependencies": ["b", "a"]})
conda("order of dependencies the other way round", "dependencies: [a, b]\n", {"dependencies": ["a", "b"]})
conda("order of keys doesn't count", "dependencies: [a]\nchannels: [c]\n", {"channels": ["c"], "dependencies": ["a"]})
conda("order of keys doesn't count, either way", "channels: [c]\ndependencies: [a]\n", {"dependencies": ["a"], "channels": ["c"]})
conda("one equals sign", "dependencies: [numpy=1.10]\n", {"dependencies": ["numpy=1.10"]})
conda("two equals signs", "dependencies: [numpy==1.10]\n", {"dependencies": ["numpy==1.10"]})
conda("a package in pip is not one of conda", "dependencies: [{pip: [numpy]}]\n", {"dependencies": [{"pip": ["numpy"]}]})
conda("a package of conda", "dependencies: [numpy]\n", {"dependencies": ["numpy"]})
conda("letters' case counts", "dependencies: [NumPy]\n", {"dependencies": ["NumPy"]})
conda("a composed letter", "variables: {v: \u00e9}\n", {"variables": {"v": "\u00e9"}})
conda("a decomposed letter", "variables: {v: e\u0301}\n", {"variables": {"v": "e\u0301"}})
conda("escapes", 'variables: {v: "a\\tb\\u00e9"}\n', {"variables": {"v": "a\tb\u00e9"}})
conda("a literal block", "variables:\n  v: |\n    a\n    b\n", {"variables": {"v": "a\nb\n"}})
conda("a literal block with windows line ends", "variables:\r\n  v: |\r\n    a\r\n    b\r\n", {"variables": {"v": "a\nb\n"}})
conda("a folded block", "variables:\n  v: >-\n    a\n    b\n", {"variables": {"v": "a b"}})
conda("keys are sorted by byte", "variables: {b: '1', a: '2', B: '3', \u00e9: '4', aa: '5'}\n", {"variables": {"b": "1", "a": "2", "B": "3", "\u00e9": "4", "aa": "5"}})
image("everything", "linux/arm64/v8", {"pinned": "a/b@sha256:" + DIGEST}, ["RUN a", "ENV B=c"],
      "name: all\nchannels: [conda-forge]\ndependencies:\n- python=3.11\n- pip:\n  - numpy==1.10\n", {"channels": ["conda-forge"], **NUMPY}, "venv-1")

TREES = []


def folder(name, content):
    TREES.append({"name": name, "content": content, "digest": "sha256:" + tree(content).hex()})


def file(content, **more):
    return {"text": content, **more}


folder("empty", {})
folder("one file", {"a": file("x")})
folder("an empty file", {"a": file("")})
folder("another name", {"b": file("x")})
folder("executable", {"a": file("x", executable=True)})
folder("a link", {"a": file("x"), "l": {"link": "a"}})
folder("a file with a link's text", {"a": file("x"), "l": file("a")})
folder("a folder", {"d": {"folder": {"a": file("x")}}})
folder("a renamed folder", {"e": {"folder": {"a": file("x")}}})
folder("b.py = xa", {"b.py": file("xa")})
folder("ab.py = x", {"ab.py": file("x")})
folder("bytes in the first file", {"a": file("xy"), "b": file("")})
folder("bytes in the second file", {"a": file("x"), "b": file("y")})
folder("a dash sorts before a slash", {"a": {"folder": {"z": file("1")}}, "a-b": file("2"), "a.b": {"folder": {"c": {"folder": {"d": file("3")}}}}, "a0": file("4")})
folder("names beyond ascii", {"grüße": {"folder": {"🦀.txt": file("5")}}, "Z": file("6"), "z": file("7")})


def main():
    vectors = json.dumps({"images": IMAGES, "trees": TREES}, indent=1, ensure_ascii=True) + "\n"
    if sys.argv[1:] == ["--check"]:
        committed = (pathlib.Path(__file__).parent / "vectors.json").read_text()
        if committed != vectors:
            sys.exit("vectors.json is not what golden.py computes")
    else:
        sys.stdout.write(vectors)


main()
