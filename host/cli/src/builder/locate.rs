//! What the words on the command line stand for: a component, or the crate to make one from.

use std::path::{Path, PathBuf};

use cargo_metadata::{CrateType, Metadata, MetadataCommand};

use crate::failure::{Failure, Result};

/// Something to deploy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// To be compiled.
    Crate(Package),
    /// Compiled already.
    Component(PathBuf),
}

/// A crate that can become a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) manifest: PathBuf,
    pub(crate) workspace_root: PathBuf,
    pub(crate) target_dir: PathBuf,
}

impl Package {
    /// The folder of its sources.
    pub(crate) fn folder(&self) -> &Path {
        self.manifest.parent().unwrap_or(&self.workspace_root)
    }
}

/// Finds what the paths stand for: .wasm files, crates, manifests. None: the current folder.
pub(crate) fn locate(paths: &[PathBuf]) -> Result<Vec<Source>> {
    let here = [PathBuf::from(".")];
    let paths = if paths.is_empty() { &here } else { paths };
    let mut workspaces = Vec::new();
    paths.iter().map(|path| locate_one(path, &mut workspaces)).collect()
}

fn locate_one(path: &Path, workspaces: &mut Vec<Metadata>) -> Result<Source> {
    let shown = path.display();
    let absolute =
        path.canonicalize().map_err(|error| Failure::usage(format!("{shown}: {error}")))?;
    let manifest = if absolute.is_dir() {
        absolute.join("Cargo.toml")
    } else if absolute.file_name().is_some_and(|name| name == "Cargo.toml") {
        absolute
    } else if absolute.extension().is_some_and(|extension| extension == "wasm") {
        return Ok(Source::Component(absolute));
    } else {
        let problem = format!("{shown} is neither a crate nor a .wasm file");
        return Err(Failure::usage(problem));
    };
    if !manifest.is_file() {
        return Err(Failure::usage(format!(
            "{shown} is no crate (no Cargo.toml); make one with `wasmverse new NAME`"
        )));
    }
    if let Some(package) = workspaces.iter().find_map(|known| member(known, &manifest)) {
        return component_crate(package).map(Source::Crate);
    }
    let metadata = MetadataCommand::new()
        .manifest_path(&manifest)
        .no_deps()
        .env_remove("CARGO_RESOLVER_FEATURE_UNIFICATION")
        .exec()
        .map_err(|error| Failure::usage(format!("{shown}: {}", error.to_string().trim())))?;
    let package = match member(&metadata, &manifest) {
        Some(package) => component_crate(package),
        None => only_one(&metadata, path),
    };
    workspaces.push(metadata);
    package.map(Source::Crate)
}

/// A package, and whether it is a cdylib.
type Candidate = (Package, bool);

fn member(metadata: &Metadata, manifest: &Path) -> Option<Candidate> {
    candidates(metadata).find(|(package, _)| package.manifest == manifest)
}

fn candidates(metadata: &Metadata) -> impl Iterator<Item = Candidate> {
    metadata.packages.iter().map(|package| {
        let is_cdylib =
            package.targets.iter().any(|target| target.crate_types.contains(&CrateType::CDyLib));
        let package = Package {
            name: package.name.to_string(),
            manifest: package.manifest_path.clone().into(),
            workspace_root: metadata.workspace_root.clone().into(),
            target_dir: metadata.target_directory.clone().into(),
        };
        (package, is_cdylib)
    })
}

fn component_crate((package, is_cdylib): Candidate) -> Result<Package> {
    if is_cdylib {
        return Ok(package);
    }
    Err(Failure::usage(format!(
        "{} makes no component; add to {}:\n\n  [lib]\n  crate-type = [\"cdylib\", \"rlib\"]\n",
        package.name,
        package.manifest.display()
    )))
}

/// In a workspace without a crate at its root: the only one that makes a component.
fn only_one(metadata: &Metadata, path: &Path) -> Result<Package> {
    let mut found: Vec<_> =
        candidates(metadata).filter_map(|(package, is)| is.then_some(package)).collect();
    if found.len() == 1 {
        return Ok(found.remove(0));
    }
    let folders: Vec<_> = found
        .iter()
        .map(|package| package.folder().strip_prefix(&package.workspace_root))
        .filter_map(|folder| Some(folder.ok()?.display().to_string()))
        .collect();
    Err(Failure::usage(match folders.is_empty() {
        true => format!("no crate in the workspace {} makes a component", path.display()),
        false => {
            format!("{} is a workspace: say which crate: {}", path.display(), folders.join(", "))
        }
    }))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn make_crate(folder: &Path, name: &str, lib: &str) {
        fs::create_dir_all(folder.join("src")).unwrap();
        fs::write(folder.join("src/lib.rs"), "").unwrap();
        let manifest =
            format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n{lib}");
        fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    }

    const CDYLIB: &str = "[lib]\ncrate-type = [\"cdylib\", \"rlib\"]\n";

    #[test]
    fn crates_and_components_are_told_apart() {
        let home = tempfile::tempdir().unwrap();
        make_crate(home.path(), "hello", &format!("{CDYLIB}[workspace]\n"));
        let component = home.path().join("other.wasm");
        fs::write(&component, "").unwrap();
        let paths = [home.path().to_owned(), home.path().join("Cargo.toml"), component.clone()];
        let found = locate(&paths).unwrap();
        let Source::Crate(package) = &found[0] else { panic!("{found:?}") };
        assert_eq!(package.name, "hello");
        assert_eq!(package.folder(), home.path().canonicalize().unwrap());
        assert_eq!(found[1], found[0]);
        assert_eq!(found[2], Source::Component(component.canonicalize().unwrap()));
    }

    #[test]
    fn a_workspace_with_several_crates_asks_which_one() {
        let home = tempfile::tempdir().unwrap();
        fs::write(
            home.path().join("Cargo.toml"),
            "[workspace]\nmembers = [\"*\"]\nresolver = \"3\"\n",
        )
        .unwrap();
        make_crate(&home.path().join("a"), "a", CDYLIB);
        let alone = locate(&[home.path().to_owned()]).unwrap();
        assert!(matches!(&alone[..], [Source::Crate(package)] if package.name == "a"));
        make_crate(&home.path().join("b"), "b", CDYLIB);
        let problem = locate(&[home.path().to_owned()]).unwrap_err().to_string();
        assert!(problem.ends_with("say which crate: a, b"), "{problem}");
    }

    #[test]
    fn what_makes_no_component_says_what_is_missing() {
        let home = tempfile::tempdir().unwrap();
        let of = |path: &Path| locate(&[path.to_owned()]).unwrap_err().to_string();
        assert!(of(home.path()).contains("wasmverse new"));
        assert!(of(&home.path().join("gone")).contains("No such file"));
        make_crate(home.path(), "plain", "[workspace]\n");
        assert!(of(home.path()).contains("crate-type = [\"cdylib\", \"rlib\"]"));
        assert!(of(&home.path().join("src/lib.rs")).contains("neither a crate nor"));
    }
}
