//! A manifest of this workspace, as it reads outside of it.

use anyhow::{Context as _, bail};
use toml::{Table, Value};

const SECTIONS: &[&str] = &["dependencies", "build-dependencies"];
/// What only this workspace builds.
const LEFT_OUT: &[&str] = &["lints", "dev-dependencies", "test", "bench", "example"];

/// A member's manifest with everything that it inherits from its workspace written out. The macros
/// lie in the folder `macros` below the SDK.
pub(super) fn standalone(member: &str, workspace: &str) -> anyhow::Result<String> {
    let mut manifest: Table = member.parse().context("failed to read a manifest of the SDK")?;
    let workspace: Table = workspace.parse().context("failed to read the workspace's manifest")?;
    let shared = workspace.get("workspace").context("the workspace's manifest has no workspace")?;
    for section in LEFT_OUT {
        manifest.remove(*section);
    }
    if let Some(package) = manifest.get_mut("package").and_then(Value::as_table_mut) {
        for (key, value) in package.iter_mut() {
            if is_inherited(value) {
                *value = inherited(shared, "package", key)?;
            }
        }
    }
    write_out(&mut manifest, shared)?;
    if let Some(platforms) = manifest.get_mut("target").and_then(Value::as_table_mut) {
        for (_, platform) in platforms.iter_mut() {
            if let Some(platform) = platform.as_table_mut() {
                platform.remove("dev-dependencies");
                write_out(platform, shared)?;
            }
        }
    }
    Ok(toml::to_string(&manifest)?)
}

fn write_out(manifest: &mut Table, shared: &Value) -> anyhow::Result<()> {
    for section in SECTIONS {
        let Some(dependencies) = manifest.get_mut(*section).and_then(Value::as_table_mut) else {
            continue;
        };
        for (name, value) in dependencies.iter_mut() {
            if is_inherited(value) {
                *value = dependency(value, inherited(shared, "dependencies", name)?);
            }
            if value.get("path").is_some() {
                let Some(folder) = name.strip_prefix("wasmverse-sdk-") else {
                    bail!("the SDK depends on {name}, which stays behind");
                };
                *value = Table::from_iter([("path".to_owned(), folder.into())]).into();
            }
        }
    }
    Ok(())
}

fn is_inherited(value: &Value) -> bool {
    value.get("workspace").and_then(Value::as_bool) == Some(true)
}

fn inherited(shared: &Value, section: &str, key: &str) -> anyhow::Result<Value> {
    let value = shared.get(section).and_then(|table| table.get(key)).cloned();
    value.with_context(|| format!("the workspace's manifest has no {section}.{key}"))
}

/// A member's own words beside the workspace's: its features are added, the rest stands as it is.
fn dependency(own: &Value, base: Value) -> Value {
    let mut merged = match base {
        Value::Table(table) => table,
        version => Table::from_iter([("version".to_owned(), version)]),
    };
    for (key, value) in own.as_table().into_iter().flatten().filter(|(key, _)| *key != "workspace")
    {
        match (merged.get_mut(key), value) {
            (Some(Value::Array(there)), Value::Array(more)) => there.extend(more.iter().cloned()),
            _ => {
                merged.insert(key.clone(), value.clone());
            }
        }
    }
    Value::Table(merged)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORKSPACE: &str = r#"
[workspace.package]
version = "0.1.0"
edition = "2024"
[workspace.dependencies]
wasmverse-sdk-macros = { path = "guest-sdk/macros" }
wasmverse-core = { path = "host/core" }
serde = { version = "1", features = ["derive"] }
schemars = "1"
"#;

    #[test]
    fn what_is_inherited_is_written_out_and_what_tests_need_is_left_out() {
        let member = r#"
[package]
name = "wasmverse-sdk"
version.workspace = true
edition.workspace = true
[lints]
workspace = true
[dependencies]
wasmverse-sdk-macros.workspace = true
serde = { workspace = true, features = ["rc"] }
schemars.workspace = true
[target.'cfg(unix)'.dependencies]
schemars.workspace = true
[dev-dependencies]
trybuild.workspace = true
"#;
        let alone: Table = standalone(member, WORKSPACE).unwrap().parse().unwrap();
        let expected: Table = r#"
[package]
name = "wasmverse-sdk"
version = "0.1.0"
edition = "2024"
[dependencies]
wasmverse-sdk-macros = { path = "macros" }
serde = { version = "1", features = ["derive", "rc"] }
schemars = { version = "1" }
[target.'cfg(unix)'.dependencies]
schemars = { version = "1" }
"#
        .parse()
        .unwrap();
        assert_eq!(alone, expected);
    }

    #[test]
    fn a_dependency_that_cannot_come_along_is_found() {
        let member = "[package]\nname = \"x\"\n[dependencies]\nwasmverse-core.workspace = true";
        let problem = standalone(member, WORKSPACE).unwrap_err().to_string();
        assert!(problem.contains("wasmverse-core"), "{problem}");
    }
}
