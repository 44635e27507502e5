//! Makes C bindings of the contract, and a component of a core module that was linked with them.

use std::{env, fs, path::Path};

use anyhow::{Context, Result, bail};
use wit_bindgen_core::{Files, WorldGenerator, wit_parser::Resolve};
use wit_component::ComponentEncoder;

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["bindings", wit, folder] => bindings(wit, folder),
        ["component", module, to] => component(module, to),
        _ => bail!("usage: make bindings WIT FOLDER | make component MODULE TO"),
    }
}

fn bindings(wit: &str, folder: &str) -> Result<()> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(wit)?;
    let world = resolve.select_world(&[package], Some("object"))?;
    let mut files = Files::default();
    let mut generator = wit_bindgen_c::Opts::default().build();
    WorldGenerator::generate(&mut *generator, &mut resolve, world, &mut files)?;
    for (name, bytes) in files.iter() {
        fs::write(Path::new(folder).join(name), bytes)?;
    }
    Ok(())
}

fn component(module: &str, to: &str) -> Result<()> {
    let module = fs::read(module).with_context(|| format!("failed to read {module}"))?;
    let component = ComponentEncoder::default().module(&module)?.validate(true).encode()?;
    fs::write(to, component).with_context(|| format!("failed to write {to}"))
}
