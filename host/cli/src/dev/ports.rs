//! Ports: taken, and opened later.

use std::net::SocketAddr;

use anyhow::Context as _;
use tokio::net::{TcpListener, TcpSocket};

use crate::failure::Result;

/// An address that takes connections.
pub(super) async fn bind(address: &str) -> Result<TcpListener> {
    Ok(wasmverse_gate::bind(address).await?)
}

/// An address that is ours, but refuses connections for now.
pub(super) async fn reserve(address: &str, key: &str) -> Result<TcpSocket> {
    let taken = || {
        let variable = format!("WASMVERSE_GATE__{}", key.to_ascii_uppercase());
        format!("failed to listen on {address} (choose another address with {variable})")
    };
    let found = tokio::net::lookup_host(address).await.with_context(taken)?.next();
    let found = found.with_context(taken)?;
    let socket = match found {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.bind(found).with_context(taken)?;
    Ok(socket)
}
