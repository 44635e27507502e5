//! Where a gate takes connections: bound before it starts.

use std::net::SocketAddr;

use anyhow::Context as _;
use tokio::net::{TcpListener, TcpSocket};

use crate::config::GateConfig;

/// Connections that wait to be taken.
const BACKLOG: u32 = 1024;

/// Where a gate takes connections: bound before it starts.
#[derive(Debug)]
pub struct Listeners {
    /// HTTP.
    pub http: TcpListener,
    /// gRPC.
    pub grpc: TcpListener,
}

impl Listeners {
    /// Binds the configured addresses.
    ///
    /// # Errors
    /// If one of them cannot be had.
    pub async fn bind(config: &GateConfig) -> anyhow::Result<Self> {
        Ok(Self { http: bind(&config.http_listen).await?, grpc: bind(&config.grpc_listen).await? })
    }

    pub(super) fn addresses(&self) -> std::io::Result<Addresses> {
        Ok(Addresses { http: self.http.local_addr()?, grpc: self.grpc.local_addr()? })
    }
}

/// Addresses that are taken, and refuse connections until the gate listens on them.
#[derive(Debug)]
pub struct Sockets {
    /// HTTP.
    pub http: TcpSocket,
    /// gRPC.
    pub grpc: TcpSocket,
}

impl Sockets {
    pub(super) fn addresses(&self) -> std::io::Result<Addresses> {
        Ok(Addresses { http: self.http.local_addr()?, grpc: self.grpc.local_addr()? })
    }

    pub(super) fn listen(self) -> std::io::Result<Listeners> {
        Ok(Listeners { http: self.http.listen(BACKLOG)?, grpc: self.grpc.listen(BACKLOG)? })
    }
}

/// Binds an address.
///
/// # Errors
/// If it cannot be had; the error names it.
pub async fn bind(address: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("failed to listen on {address}"))
}

/// Where a gate is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// HTTP.
    pub http: SocketAddr,
    /// gRPC.
    pub grpc: SocketAddr,
}
