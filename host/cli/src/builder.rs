//! Crates into components: finds them, runs cargo once per workspace, and lays the results where
//! everyone looks for them: `target/wasmverse/<package>.wasm`.

mod cargo;
mod locate;

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

pub(crate) use locate::{Package, Source, locate};

use crate::failure::Result;

/// A component made from a crate.
#[derive(Clone, Debug)]
pub(crate) struct Built {
    /// Of the crate.
    pub(crate) package: String,
    /// Where it lies, absolute.
    pub(crate) component: PathBuf,
}

/// Compiles packages; the results are in their order. What cargo says goes to standard error.
pub(crate) fn build(packages: &[Package]) -> Result<Vec<Built>> {
    let mut built: Vec<Option<Built>> = vec![None; packages.len()];
    for (place, package) in packages.iter().enumerate() {
        if built[place].is_some() {
            continue;
        }
        let same = |other: &Package| other.workspace_root == package.workspace_root;
        let together: Vec<_> =
            packages.iter().enumerate().filter(|(_, other)| same(other)).collect();
        let members: Vec<_> = together.iter().map(|(_, package)| *package).collect();
        let artifacts = cargo::build(&members)?;
        for ((place, package), artifact) in together.into_iter().zip(artifacts) {
            built[place] = Some(Built {
                package: package.name.clone(),
                component: deliver(&artifact, package)?,
            });
        }
    }
    Ok(built.into_iter().flatten().collect())
}

/// Copies a component to its place, so that whoever reads there sees an old one or a new one,
/// never a part. One that is the same stays as it is.
fn deliver(artifact: &Path, package: &Package) -> anyhow::Result<PathBuf> {
    let folder = package.target_dir.join("wasmverse");
    let place = folder.join(format!("{}.wasm", package.name));
    let component =
        fs::read(artifact).with_context(|| format!("failed to read {}", artifact.display()))?;
    if fs::read(&place).is_ok_and(|there| there == component) {
        return Ok(place);
    }
    let written = || {
        fs::create_dir_all(&folder)?;
        // As any other file: temporary ones are for their owner alone.
        let mode = Permissions::from_mode(0o666);
        let mut file = tempfile::Builder::new().permissions(mode).tempfile_in(&folder)?;
        std::io::Write::write_all(&mut file, &component)?;
        file.persist(&place)?;
        anyhow::Ok(())
    };
    written().with_context(|| format!("failed to write {}", place.display()))?;
    Ok(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_is_delivered_whole_and_only_when_it_changed() {
        let home = tempfile::tempdir().unwrap();
        let artifact = home.path().join("my_counter.wasm");
        let package = Package {
            name: "my-counter".into(),
            manifest: home.path().join("Cargo.toml"),
            workspace_root: home.path().into(),
            target_dir: home.path().join("target"),
        };
        fs::write(&artifact, "one").unwrap();
        let place = deliver(&artifact, &package).unwrap();
        assert_eq!(place, home.path().join("target/wasmverse/my-counter.wasm"));
        let before = fs::metadata(&place).unwrap().modified().unwrap();
        deliver(&artifact, &package).unwrap();
        assert_eq!(fs::metadata(&place).unwrap().modified().unwrap(), before);
        fs::write(&artifact, "two").unwrap();
        deliver(&artifact, &package).unwrap();
        assert_eq!(fs::read(&place).unwrap(), b"two");
        let left = fs::read_dir(place.parent().unwrap()).unwrap().count();
        assert_eq!(left, 1, "no part is left behind");
    }
}
