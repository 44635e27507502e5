//! One process per database: a lock file beside it, held by the operating system's own lock, so
//! that it goes away with its holder however that ends.

use std::{
    fs::{File, TryLockError},
    io::{Read as _, Seek as _, Write as _},
    path::Path,
};

use crate::Error;

/// Held until dropped.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "it is held, not used")] File);

/// Locks `database`.
pub(super) fn take(database: &Path) -> Result<Lock, Error> {
    let mut path = database.as_os_str().to_owned();
    path.push(".lock");
    let path = Path::new(&path);
    let cannot = |error: std::io::Error| {
        Error::Unavailable(format!("failed to lock {}: {error}", path.display()))
    };
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(cannot)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(held(&mut file, database)),
        Err(TryLockError::Error(error)) => return Err(cannot(error)),
    }
    let written = file
        .set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| writeln!(file, "{}", std::process::id()));
    written.map_err(cannot)?;
    Ok(Lock(file))
}

fn held(file: &mut File, database: &Path) -> Error {
    let mut holder = String::new();
    // Whatever it says: it is only to help finding the other one.
    let _ = file.take(20).read_to_string(&mut holder);
    let holder = match holder.trim() {
        "" => "another process".to_owned(),
        pid if pid == std::process::id().to_string() => format!("this very process ({pid})"),
        pid => format!("process {pid}"),
    };
    Error::InUse { database: database.display().to_string(), holder }
}
