//! The active types, as a node tells them, kept while all are away.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use wasmverse_proto::admin::{ListTypesRequest, TypeInfo};

use crate::{Control, hub::Hub, peer::Linked};

/// The active types, by name.
pub type Types = Arc<Vec<TypeInfo>>;

/// How long until a node that would not tell is asked again.
const PAUSE: Duration = Duration::from_millis(500);

/// Keeps `types` current until shutdown: as one node tells it, and another when that is gone.
pub(crate) async fn watch(
    hub: Arc<Hub>,
    types: watch::Sender<Option<Types>>,
    shutdown: CancellationToken,
) {
    let following = async {
        let mut links = hub.watch_links();
        loop {
            let linked = match links.wait_for(|links| !links.is_empty()).await {
                Ok(links) => Arc::clone(links.first().expect("waited for one")),
                Err(_) => return,
            };
            let is_gone =
                |links: &Vec<Arc<Linked>>| !links.iter().any(|other| Arc::ptr_eq(other, &linked));
            let telling = async {
                if let Err(error) = follow(linked.control.clone(), &types).await {
                    tracing::debug!(%error, "failed to follow the types of a node");
                }
                tokio::time::sleep(PAUSE).await;
            };
            tokio::select! {
                () = telling => {}
                _ = links.wait_for(is_gone) => {}
            }
        }
    };
    tokio::select! {
        () = following => {}
        () = shutdown.cancelled() => {}
    }
}

async fn follow(mut control: Control, types: &watch::Sender<Option<Types>>) -> Result<(), Status> {
    let mut stream = control.watch_types(ListTypesRequest {}).await?.into_inner();
    while let Some(mut current) = stream.message().await? {
        current.types.sort_by(|a, b| a.r#type.cmp(&b.r#type));
        let known = Arc::new(current.types);
        types.send_if_modified(|types| {
            let changed = types.as_ref() != Some(&known);
            *types = Some(known);
            changed
        });
    }
    Ok(())
}
