//! The SDK and the web chat are part of this binary (`wasmverse new` and `wasmverse dev` bring them
//! along): rebuild when they change. The page is there once `npm run build` was run in gate/.

use std::{env, fs, io, path::Path};

fn main() {
    for path in ["src", "Cargo.toml", "macros/src", "macros/Cargo.toml"] {
        println!("cargo::rerun-if-changed=../../guest-sdk/{path}");
    }
    println!("cargo::rerun-if-changed=../../Cargo.toml");
    println!("cargo::rerun-if-changed=templates");
    println!("cargo::rerun-if-changed=build.rs");
    // The folder above the page, since it need not be there: cargo would build again and again.
    println!("cargo::rerun-if-changed=../../gate/web");
    let out = env::var_os("OUT_DIR").expect("cargo sets it");
    let page = Path::new(&out).join("page");
    // What was built before must not linger.
    drop(fs::remove_dir_all(&page));
    fs::create_dir_all(&page).expect("the folder can be made");
    let built = Path::new("../../gate/web/dist");
    if built.is_dir() {
        copy(built, &page).expect("the page can be copied");
    }
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
