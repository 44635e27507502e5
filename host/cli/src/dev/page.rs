//! The web chat, which is part of this program if it was built before it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use include_dir::{Dir, include_dir};

use crate::failure::Result;

static PAGE: Dir<'_> = include_dir!("$OUT_DIR/page");

/// Lays the page down in a folder of the state, for the gate to serve; where, if there is one.
///
/// # Errors
/// If it cannot be written.
pub(super) fn unpack(data_dir: &Path) -> Result<Option<PathBuf>> {
    if PAGE.get_file("index.html").is_none() {
        return Ok(None);
    }
    let folder = data_dir.join("page");
    // Files of an earlier build have other names. The first time there is none.
    drop(fs::remove_dir_all(&folder));
    fs::create_dir_all(&folder)
        .and_then(|()| PAGE.extract(&folder))
        .with_context(|| format!("failed to write the web chat to {}", folder.display()))?;
    Ok(Some(folder))
}
