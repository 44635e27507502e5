//! WASI with nothing granted: clocks and random numbers work, what is printed goes to the
//! object's log, and there are no arguments, environment, files or sockets.
//!
//! Made when a guest first uses it: most objects never do.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::AsyncWrite;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{
    WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView,
    cli::{IsTerminal, StdoutStream},
    p2::{OutputStream, Pollable, StreamResult},
};

use crate::{
    host::Host,
    imports::system::RANDOM_BYTES_MAX,
    journal::{Journal, Stream},
};

/// Streams, pollables and the like that one instance may hold.
const RESOURCES_MAX: usize = 1024;
/// What a guest may print at once.
const WRITE_BYTES_MAX: usize = 64 << 10;

/// What WASI keeps for one instance.
pub(crate) struct Wasi {
    context: WasiCtx,
    resources: ResourceTable,
}

impl Wasi {
    fn new(journal: &Arc<Mutex<Journal>>) -> Self {
        let printer = |stream| Printer { journal: Arc::clone(journal), stream };
        let mut context = WasiCtxBuilder::new();
        context
            .stdout(printer(Stream::Output))
            .stderr(printer(Stream::Error))
            .max_random_size(u64::from(RANDOM_BYTES_MAX))
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false);
        let mut resources = ResourceTable::new();
        resources.set_max_capacity(RESOURCES_MAX);
        Self { context: context.build(), resources }
    }
}

impl WasiView for Host {
    /// Every function of WASI comes through here, and so is counted; the limit bites at the next
    /// tick, or when the step ends.
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.host_calls = self.host_calls.saturating_add(1);
        let wasi = self.wasi.get_or_insert_with(|| Box::new(Wasi::new(&self.journal)));
        WasiCtxView { ctx: &mut wasi.context, table: &mut wasi.resources }
    }
}

/// Standard output or error of one instance.
#[derive(Clone)]
struct Printer {
    journal: Arc<Mutex<Journal>>,
    stream: Stream,
}

impl IsTerminal for Printer {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Printer {
    /// Only asked for by versions of WASI that are not linked.
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for Printer {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.journal.lock().print(self.stream, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES_MAX)
    }
}

#[async_trait::async_trait]
impl Pollable for Printer {
    async fn ready(&mut self) {}
}
