//! Files, and parts of files, that repeat what the source says: a test holds that they do, and writes them anew when
//! `WIREPROOF_UPDATE` is set. Only tests use it.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, Write},
    path::Path,
};

/// Holds that a file of the repository is what `make` makes of it as it is kept. The message of a panic has the command
/// that writes it anew, so the test of `package` that asks must have `generated` in its name.
#[track_caller]
pub fn file(package: &str, path: &str, make: impl Fn(&str) -> String) {
    let update = std::env::var_os("WIREPROOF_UPDATE").is_some();
    let there = hold(path, update, make).unwrap_or_else(|e| panic!("{path}: {e}"));
    assert!(
        there,
        "{path} is not what its source says; write it anew with\n    \
         WIREPROOF_UPDATE=1 cargo nextest run -p {package} generated"
    );
}

/// The same for a part of a page, between `<!-- PART: written by a test -->` and `<!-- end -->`.
#[track_caller]
pub fn part(package: &str, path: &str, part: &str, make: impl Fn(&str) -> String) {
    let (begin, end) = (format!("<!-- {part}: written by a test -->\n"), "<!-- end -->");
    file(package, path, |page| {
        let found = page.split_once(&begin).and_then(|(before, rest)| Some((before, rest.split_once(end)?)));
        let Some((before, (kept, after))) = found else { panic!("{path} has no part {begin}{end}") };
        format!("{before}{begin}{}{end}{after}", make(kept))
    });
}

/// True when the file is what it must be; with `update` it is from then on.
fn hold(path: &str, update: bool, make: impl Fn(&str) -> String) -> io::Result<bool> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    let mut file = match update {
        true => OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?,
        false => File::open(path)?,
    };
    if update {
        // Tests run at once, and several may have parts in one file.
        file.lock()?;
    }
    let mut kept = String::new();
    file.read_to_string(&mut kept)?;
    let made = make(&kept);
    if update && made != kept {
        file.rewind()?;
        file.set_len(0)?;
        file.write_all(made.as_bytes())?;
        return Ok(make(&made) == made);
    }
    Ok(made == kept)
}
