//! Components are what their digests say.

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

/// Whether `bytes` are what their digest says; if not, what they are.
pub(crate) async fn verify(bytes: Bytes, digest: [u8; 32]) -> Result<(), String> {
    // Components are large: not on the threads that serve.
    let hashing = tokio::task::spawn_blocking(move || <[u8; 32]>::from(Sha256::digest(&bytes)));
    let found = hashing.await.map_err(|error| format!("it could not be hashed: {error}"))?;
    if found == digest {
        return Ok(());
    }
    Err(format!("its digest is {}, not {}", hex::encode(found), hex::encode(digest)))
}
