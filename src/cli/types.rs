//! `argon-host types`: writes the definitions that editors complete and check scripts with.

use std::fs;
use std::path::Path;

use super::Failure;
use crate::definitions;

pub(super) fn run(dir: &Path) -> Result<(), Failure> {
    let fail = |path: &Path, error: std::io::Error| {
        eprintln!("argon-host: cannot write {}: {error}", path.display());
        Failure::Work
    };
    fs::create_dir_all(dir).map_err(|error| fail(dir, error))?;
    for (name, text) in [
        ("argon.d.luau", definitions::luau()),
        (".luaurc", definitions::luaurc()),
    ] {
        let path = dir.join(name);
        // A .luaurc may hold the author's own settings.
        if name == ".luaurc" && path.exists() {
            println!("kept   {}", path.display());
            continue;
        }
        fs::write(&path, text).map_err(|error| fail(&path, error))?;
        println!("wrote  {}", path.display());
    }
    Ok(())
}
