//! The active types, as the node tells them, kept while it is away.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use wasmverse_proto::admin::{ListTypesRequest, TypeInfo};

use crate::{Control, peer::Peer};

/// The active types, by name.
pub type Types = Arc<Vec<TypeInfo>>;

/// How long until a node that would not tell is asked again.
const PAUSE: Duration = Duration::from_millis(500);

/// Keeps `types` current until shutdown.
pub(crate) async fn watch(
    peer: Arc<Peer>,
    types: watch::Sender<Option<Types>>,
    shutdown: CancellationToken,
) {
    let following = async {
        let mut linked = peer.linked.subscribe();
        loop {
            let control = match linked.wait_for(Option::is_some).await {
                Ok(linked) => linked.as_ref().expect("waited for one").control.clone(),
                Err(_) => return,
            };
            if let Err(error) = follow(control, &types).await {
                tracing::debug!(%error, "failed to follow the types of the node");
            }
            tokio::time::sleep(PAUSE).await;
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
