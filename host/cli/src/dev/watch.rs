//! Notices that source files are saved. Editors write several times for one save, so what comes
//! close together is one change.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

use crate::{builder::Source, failure::Result};

/// A change is over when nothing was written for so long…
const QUIET: Duration = Duration::from_millis(40);
/// … or at the latest after this time.
const QUIET_MAX: Duration = Duration::from_millis(500);

/// A watch on the files that components are made from.
#[derive(Debug)]
pub(crate) struct Watch {
    changes: mpsc::Receiver<Instant>,
    _watcher: RecommendedWatcher,
}

impl Watch {
    /// Watches the sources; what is saved from now on counts.
    pub(crate) fn begin(sources: &[Source]) -> Result<Self> {
        // Room for one: a change that is waiting stands for all that come before it is taken.
        let (sender, changes) = mpsc::channel(1);
        let files: Vec<_> = sources.iter().filter_map(component).collect();
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            if event.is_ok_and(|event| concerns(&event, &files)) {
                // Full: somebody has yet to look.
                let _ = sender.try_send(Instant::now());
            }
        })
        .context("failed to watch the sources")?;
        for (path, mode) in sources.iter().flat_map(places) {
            watcher
                .watch(&path, mode)
                .with_context(|| format!("failed to watch {}", path.display()))?;
        }
        Ok(Self { changes, _watcher: watcher })
    }

    /// Waits for a save, and until it is over; answers when it began.
    pub(crate) async fn changed(&mut self) -> Instant {
        let Some(began) = self.changes.recv().await else {
            // The watcher lives as long as `self`, and with it the sender.
            return std::future::pending().await;
        };
        while began.elapsed() < QUIET_MAX {
            if tokio::time::timeout(QUIET, self.changes.recv()).await.is_err() {
                break;
            }
        }
        began
    }
}

fn component(source: &Source) -> Option<PathBuf> {
    match source {
        Source::Component(path) => Some(path.clone()),
        Source::Crate(_) => None,
    }
}

/// What to watch for a source: all of a crate's folder but what is built in it. A component is
/// watched through its folder, because it is replaced rather than written.
fn places(source: &Source) -> Vec<(PathBuf, RecursiveMode)> {
    match source {
        Source::Component(path) => path
            .parent()
            .map(|folder| (folder.to_owned(), RecursiveMode::NonRecursive))
            .into_iter()
            .collect(),
        Source::Crate(package) => {
            let folder = package.folder();
            let inner = std::fs::read_dir(folder).into_iter().flatten().filter_map(|entry| {
                let path = entry.ok()?.path();
                (path.is_dir() && !is_left_out(&path)).then_some((path, RecursiveMode::Recursive))
            });
            std::iter::once((folder.to_owned(), RecursiveMode::NonRecursive)).chain(inner).collect()
        }
    }
}

/// Whether something was written that a component is made from.
fn concerns(event: &Event, components: &[PathBuf]) -> bool {
    if matches!(event.kind, EventKind::Access(_)) {
        return false;
    }
    event.paths.iter().any(|path| match path.extension().and_then(|e| e.to_str()) {
        Some("wasm") => components.contains(path),
        _ => !is_left_out(path) && !path.is_dir(),
    })
}

/// What cargo and editors write beside the sources.
fn is_left_out(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with(['.', '#'])
        || name.ends_with('~')
        || ["target", "Cargo.lock", "4913"].contains(&&*name)
        || [".swp", ".swx", ".tmp"].iter().any(|end| name.ends_with(end))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::builder::Package;

    fn written(path: &str) -> Event {
        Event::new(EventKind::Modify(notify::event::ModifyKind::Any)).add_path(path.into())
    }

    #[test]
    fn sources_count_and_what_tools_leave_beside_them_does_not() {
        let components = [PathBuf::from("/a/echo.wasm")];
        for path in ["/a/src/lib.rs", "/a/Cargo.toml", "/a/src/data.json", "/a/echo.wasm"] {
            assert!(concerns(&written(path), &components), "{path}");
        }
        for path in ["/a/src/.lib.rs.swp", "/a/src/lib.rs~", "/a/Cargo.lock", "/a/other.wasm"] {
            assert!(!concerns(&written(path), &components), "{path}");
        }
        let read = Event::new(EventKind::Access(notify::event::AccessKind::Any));
        assert!(!concerns(&read.add_path("/a/src/lib.rs".into()), &components));
    }

    #[tokio::test]
    async fn a_save_is_noticed_once_and_the_build_beside_it_is_not() {
        let home = tempfile::tempdir().unwrap();
        for folder in ["src", "target"] {
            fs::create_dir(home.path().join(folder)).unwrap();
        }
        let package = Package {
            name: "hello".into(),
            manifest: home.path().join("Cargo.toml"),
            workspace_root: home.path().into(),
            target_dir: home.path().join("target"),
        };
        let mut watch = Watch::begin(&[Source::Crate(package)]).unwrap();
        fs::write(home.path().join("target/noise"), "x").unwrap();
        fs::write(home.path().join("src/lib.rs"), "one").unwrap();
        fs::write(home.path().join("src/lib.rs"), "two").unwrap();
        let limit = Duration::from_secs(10);
        tokio::time::timeout(limit, watch.changed()).await.unwrap();
        assert!(watch.changes.try_recv().is_err(), "one change");
    }
}
