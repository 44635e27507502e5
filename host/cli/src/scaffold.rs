//! The crate that `wasmverse new` makes, as a list of files: one object, its tests, and the SDK, so
//! that it builds wherever it lies.

mod manifest;
mod name;

use include_dir::{Dir, include_dir};

pub(crate) use name::Name;

static SDK: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../guest-sdk/src");
static SDK_MACROS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../guest-sdk/macros/src");
const SDK_MANIFEST: &str = include_str!("../../../guest-sdk/Cargo.toml");
const SDK_MACROS_MANIFEST: &str = include_str!("../../../guest-sdk/macros/Cargo.toml");
const WORKSPACE_MANIFEST: &str = include_str!("../../../Cargo.toml");

const LIB: &str = include_str!("../templates/lib.rs.txt");
const MANIFEST: &str = include_str!("../templates/Cargo.toml.txt");
const README: &str = include_str!("../templates/README.md.txt");
const IGNORE: &str = "/target\n/.wasmverse\n";

/// A file of the new crate.
#[derive(Clone, Debug)]
pub(crate) struct File {
    /// Relative to the crate.
    pub(crate) path: String,
    pub(crate) text: Vec<u8>,
}

/// All files of a new crate; `folder` is how its user calls the folder.
pub(crate) fn files(name: &Name, folder: &str) -> anyhow::Result<Vec<File>> {
    let fill = |template: &str| {
        template
            .replace("{name}", &name.package)
            .replace("{Type}", &name.type_name)
            .replace("{folder}", folder)
    };
    let file = |path: &str, text: String| File { path: path.to_owned(), text: text.into_bytes() };
    let sdk = |text| manifest::standalone(text, WORKSPACE_MANIFEST);
    let mut files = vec![
        file("Cargo.toml", fill(MANIFEST)),
        file("src/lib.rs", fill(LIB)),
        file("README.md", fill(README)),
        file(".gitignore", IGNORE.to_owned()),
        file("sdk/Cargo.toml", sdk(SDK_MANIFEST)?),
        file("sdk/macros/Cargo.toml", sdk(SDK_MACROS_MANIFEST)?),
    ];
    gather(&SDK, "sdk/src", &mut files);
    gather(&SDK_MACROS, "sdk/macros/src", &mut files);
    Ok(files)
}

fn gather(folder: &Dir<'_>, place: &str, files: &mut Vec<File>) {
    for file in folder.files() {
        let path = format!("{place}/{}", file.path().display());
        files.push(File { path, text: file.contents().to_vec() });
    }
    for inner in folder.dirs() {
        gather(inner, place, files);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(files: &[File], path: &str) -> String {
        let file = files.iter().find(|file| file.path == path).unwrap();
        String::from_utf8(file.text.clone()).unwrap()
    }

    #[test]
    fn a_new_crate_has_its_object_and_brings_the_sdk_along() {
        let files = files(&"guest-book".parse().unwrap(), "guest-book").unwrap();
        assert!(text(&files, "src/lib.rs").contains("impl GuestBook {"));
        assert!(text(&files, "README.md").contains("wasmverse call GuestBook/world add 5"));
        assert!(text(&files, "sdk/src/lib.rs").contains("pub mod prelude"));
        assert!(text(&files, "sdk/macros/src/lib.rs").starts_with("//!"));
        for file in files.iter().filter(|file| !file.path.starts_with("sdk/")) {
            let text = String::from_utf8(file.text.clone()).unwrap();
            assert!(!text.contains("{Type}") && !text.contains("{name}"), "{}", file.path);
        }
        let manifest: toml::Table = text(&files, "Cargo.toml").parse().unwrap();
        assert_eq!(manifest["package"]["name"].as_str(), Some("guest-book"));
    }

    #[test]
    fn nothing_in_the_sdk_leads_out_of_the_crate() {
        let files = files(&"hello".parse().unwrap(), "hello").unwrap();
        for path in ["sdk/Cargo.toml", "sdk/macros/Cargo.toml"] {
            let text = text(&files, path);
            assert!(!text.contains("workspace") && !text.contains(".."), "{text}");
        }
        for file in files.iter().filter(|file| file.path.ends_with(".rs")) {
            let text = String::from_utf8(file.text.clone()).unwrap();
            assert!(!text.contains("include_str!(\"../.."), "{}", file.path);
        }
    }
}
