//! A package that a test makes.

use std::fs;
use std::path::Path;
use std::process::Command;

/// Makes `greeting-1.10` in the new folder `folder`; a wheel is a zip file with a few texts in it.
pub(crate) fn make(folder: &Path) {
    const SCRIPT: &str = r#"
import sys, zipfile
with zipfile.ZipFile(sys.argv[1] + "/greeting-1.10-py3-none-any.whl", "w") as wheel:
    info = "greeting-1.10.dist-info/"
    wheel.writestr("greeting.py", "TEXT = 'hello from the wheel'\n")
    wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\nName: greeting\nVersion: 1.10\n")
    wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr(info + "RECORD", "greeting.py,,\n%sMETADATA,,\n%sWHEEL,,\n%sRECORD,,\n" % (info, info, info))
"#;
    fs::create_dir(folder).unwrap();
    assert!(Command::new("python3").args(["-c", SCRIPT]).arg(folder).status().unwrap().success());
}
