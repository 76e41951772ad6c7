"""Makes the root of an image out of programs of this machine and the libraries they need.

Arguments: the folder; then `python`, or nothing for a root without it.
"""

import glob
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile

root = sys.argv[1]


def put(path):
    target = root + path
    if not os.path.exists(target):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copyfile(os.path.realpath(path), target)
        shutil.copymode(os.path.realpath(path), target)


def libraries(path):
    said = subprocess.run(["ldd", path], capture_output=True, text=True).stdout
    for library in re.findall(r"(/\S+) \(0x", said):
        put(library)


def program(path, name):
    put(path)
    libraries(path)
    if not os.path.exists(root + name):
        os.makedirs(os.path.dirname(root + name), exist_ok=True)
        os.symlink(path, root + name)


for name in ["sh", "sleep", "setsid"]:
    program(os.path.realpath(shutil.which(name)), "/bin/" + name)
os.makedirs(root + "/tmp", exist_ok=True)
if "python" in sys.argv[2:]:
    program(os.path.realpath(sys.executable), "/usr/bin/python3")
    library = sysconfig.get_path("stdlib")
    # What neither venv nor pip needs: it would be copied a few times in every build.
    left_out = "test unittest idlelib lib2to3 tkinter turtle* pydoc* wsgiref curses dbm sqlite3 config-* *-packages *.a"
    left_out += " _curses* _sqlite3* _dbm* _gdbm* _tkinter* readline* nis* _crypt* _codecs_* _test* *.opt-?.pyc"
    shutil.copytree(library, root + library, ignore=shutil.ignore_patterns(*left_out.split()), symlinks=False)
    for module in glob.glob(root + library + "/lib-dynload/*.so"):
        libraries(module)
    for wheels in ["/usr/share/python-wheels", library + "/ensurepip/_bundled"]:
        for wheel in glob.glob(wheels + "/*.whl"):
            put(wheel)
            if os.path.basename(wheel).startswith("pip-"):
                zipfile.ZipFile(wheel).extractall(root + library)
