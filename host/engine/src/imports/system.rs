//! The import `system`: the clock and random numbers.

use rand::RngCore;

use crate::{bindings::wasmverse::object::system, host::Host, journal::now_micros, stop::LimitHit};

/// Random bytes at once; more trap.
pub(crate) const RANDOM_BYTES_MAX: u32 = 65_536;

impl system::Host for Host {
    fn now_micros(&mut self) -> wasmtime::Result<u64> {
        self.count(1)?;
        Ok(u64::try_from(now_micros()).unwrap_or_default())
    }

    fn random_bytes(&mut self, length: u32) -> wasmtime::Result<Vec<u8>> {
        self.count(1)?;
        if length > RANDOM_BYTES_MAX {
            let message = format!(
                "the object asked for {length} random bytes: at once there are at most {RANDOM_BYTES_MAX}"
            );
            return Err(LimitHit::code(message).into());
        }
        let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
        rand::rng().fill_bytes(&mut bytes);
        Ok(bytes)
    }
}
