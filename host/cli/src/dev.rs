//! A whole cluster in this process, for whoever writes objects: what is deployed, when clients may
//! come in, what happens when a source file is saved, and the orderly end.

mod guide;
mod members;
mod page;
mod ports;
mod reload;
mod settings;
mod system;
mod watch;

use std::{
    future::pending,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{builder::Source, failure::Result, output::Output};
use guide::Guide;
use reload::{Change, Deployer};
use watch::Watch;

pub(crate) use members::Size;
pub(crate) use settings::Settings;
pub(crate) use system::System;

/// One run of `wasmverse dev`.
#[derive(Debug)]
pub(crate) struct Session {
    system: System,
    deployer: Deployer,
    sources: Vec<Source>,
    is_watching: bool,
    output: Output,
    began: Instant,
}

impl Session {
    pub(crate) fn new(
        system: System,
        sources: Vec<Source>,
        is_watching: bool,
        output: Output,
        began: Instant,
    ) -> Self {
        let deployer = Deployer::new(sources.clone());
        Self { system, deployer, sources, is_watching, output, began }
    }

    /// Deploys, opens the client ports, and serves until it is dropped.
    ///
    /// # Errors
    /// If the types cannot be built or deployed (unless it watches: then the next save may mend
    /// it), or if a port cannot be had.
    pub(crate) async fn serve(&mut self) -> Result<()> {
        self.system.reserve_ports().await?;
        let mut watch = match self.is_watching {
            true => Some(Watch::begin(&self.sources)?),
            false => None,
        };
        loop {
            match (self.deployer.deploy(self.system.nodes()).await, &mut watch) {
                (Ok(_), _) => break,
                (Err(failure), None) => return Err(failure),
                (Err(failure), Some(watch)) => {
                    self.output.failure(&failure);
                    self.output.note("waiting for the next save");
                    watch.changed().await;
                }
            }
        }
        self.system.open().await?;
        self.announce()?;
        match watch {
            Some(watch) => self.follow(watch).await,
            None => pending().await,
        }
    }

    /// Ends it in order: clients, then objects.
    ///
    /// # Errors
    /// If some objects could not be saved.
    pub(crate) async fn stop(&mut self) -> Result<()> {
        self.system.stop().await
    }

    fn announce(&self) -> Result<()> {
        let took = self.began.elapsed();
        let Some(first) = self.system.nodes().first() else { return Ok(()) };
        let types = first.types().borrow().clone();
        let (addresses, size) = (self.system.addresses(), self.system.size());
        let guide = Guide::new(addresses, size, &types, self.system.has_page());
        let mut json = json!({
            "event": "ready",
            "http": guide.http_url(),
            "grpc": guide.grpc_url(),
            "web": guide.web_url(),
            "types": types.iter().map(|t| t.type_name.as_str()).collect::<Vec<_>>(),
            "millis": millis(took),
        });
        if !size.is_one() {
            json["nodes"] = self.system.nodes().iter().map(|node| json!(node.id())).collect();
            json["gates"] =
                guide.gates().map(|(http, grpc)| json!({"http": http, "grpc": grpc})).collect();
        }
        self.output.result(&json, || guide.text(self.system.state(), took))
    }

    /// Swaps in what is saved, and says how it went; nothing that goes wrong ends it.
    async fn follow(&mut self, mut watch: Watch) -> Result<()> {
        loop {
            let saved = watch.changed().await;
            match self.deployer.deploy(self.system.nodes()).await {
                Ok(changes) => self.tell(&changes, saved.elapsed())?,
                Err(failure) => {
                    self.output.failure(&failure);
                    self.output.note("the code from before serves on; waiting for the next save");
                }
            }
        }
    }

    fn tell(&self, changes: &[Change], took: Duration) -> Result<()> {
        for change in changes {
            let json = json!({
                "event": "swapped",
                "millis": millis(took),
                "type": change.rollout.type_name,
                "rollout": change.rollout,
            });
            self.output.result(&json, || change.text(took))?;
        }
        if changes.is_empty() {
            self.output.note("saved: no component changed");
        }
        Ok(())
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
