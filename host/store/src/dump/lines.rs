//! A dump as lines of JSON.

use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt as _, AsyncWrite, AsyncWriteExt as _},
    sync::mpsc,
};

use super::Record;
use crate::{Error, Store};

/// Records that wait between the store and the lines.
const QUEUE_LENGTH: usize = 64;

/// Writes all that a store holds, one line of JSON a record; answers how many there are.
///
/// # Errors
/// [`Error::Unavailable`] if they cannot be written; else the store's, also the first row that
/// cannot be read.
pub async fn export(store: &dyn Store, to: &mut (impl AsyncWrite + Unpin)) -> Result<u64, Error> {
    let (sender, mut records) = mpsc::channel::<Result<Record, Error>>(QUEUE_LENGTH);
    let writing = async move {
        let cannot = |error| Error::Unavailable(format!("failed to write a record: {error}"));
        let mut count = 0;
        while let Some(record) = records.recv().await {
            let record = record?;
            let mut line = serde_json::to_vec(&record)
                .map_err(|error| Error::Damaged(format!("a record cannot be written: {error}")))?;
            line.push(b'\n');
            to.write_all(&line).await.map_err(cannot)?;
            count += 1;
        }
        to.flush().await.map_err(cannot)?;
        Ok(count)
    };
    let (dumped, written) = futures_util::future::join(store.dump(sender), writing).await;
    let count = written?;
    dumped?;
    Ok(count)
}

/// Fills an empty store with what [`export`] wrote; answers how many records there were.
///
/// # Errors
/// [`Error::Damaged`] if the lines are not what [`export`] writes, or not all of it; else as
/// [`Store::restore`]. Nothing was stored then.
pub async fn import(
    store: &dyn Store,
    from: &mut (impl AsyncBufRead + Unpin),
) -> Result<u64, Error> {
    let (sender, records) = mpsc::channel(QUEUE_LENGTH);
    let reading = async move {
        let (mut line, mut count) = (Vec::new(), 0_u64);
        loop {
            line.clear();
            let read = from.read_until(b'\n', &mut line).await.map_err(|error| {
                Error::Unavailable(format!("failed to read line {}: {error}", count + 1))
            })?;
            if read == 0 {
                return Ok(count);
            }
            let record: Record = serde_json::from_slice(&line)
                .map_err(|error| Error::Damaged(format!("line {}: {error}", count + 1)))?;
            count += 1;
            if record == Record::End {
                // Before the store takes it for whole.
                line.clear();
                let more = from.read_until(b'\n', &mut line).await;
                if !matches!(more, Ok(0)) {
                    let told = format!("line {}: there is more after the end", count + 1);
                    return Err(Error::Damaged(told));
                }
            }
            if sender.send(record).await.is_err() {
                // The store says why.
                return Ok(count);
            }
        }
    };
    let (restored, read) = futures_util::future::join(store.restore(records), reading).await;
    let count = read?;
    restored?;
    Ok(count)
}
