//! The types as this gate knows them: followed from the node, read by every request.
//!
//! The node has the last word on which types and methods there are; this is what the gate needs
//! to know on its own: how a type's payloads are written, and what to show to the curious.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::watch;
use wasmverse_core::{CallError, Encoding, ErrorKind, ON_CLIENT_GONE, TypeName};
use wasmverse_daemon::Shutdown;
use wasmverse_proto::admin::TypeInfo;

use crate::openapi;

/// How long the answer to an upload waits until this gate shows what was uploaded.
const SHOWN_WITHIN: Duration = Duration::from_secs(1);

/// What the router hands out: nothing until a node told the types.
pub(crate) type Source = watch::Receiver<Option<Arc<Vec<TypeInfo>>>>;

/// The types, now and whenever they change. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Catalog(watch::Receiver<Option<Arc<Known>>>);

/// All types at one moment.
#[derive(Debug, Default)]
pub(crate) struct Known {
    types: Vec<Described>,
    openapi: OnceLock<Bytes>,
}

/// One type, its description taken apart.
#[derive(Debug)]
pub(crate) struct Described {
    pub(crate) info: TypeInfo,
    pub(crate) encoding: Encoding,
    /// Its objects want to know when a client is gone.
    pub(crate) hears_of_clients: bool,
    /// The description as JSON; null if it is none.
    pub(crate) description: Value,
}

impl Catalog {
    /// Follows the source until the process ends.
    pub(crate) fn follow(mut source: Source, shutdown: &Shutdown) -> Self {
        let (sender, receiver) = watch::channel(latest(&mut source));
        let requested = shutdown.token();
        shutdown.spawn(async move {
            let following = async {
                while source.changed().await.is_ok() {
                    sender.send_replace(latest(&mut source));
                }
                // The router is gone: what was known last stays known.
                sender.closed().await;
            };
            requested.run_until_cancelled(following).await;
        });
        Self(receiver)
    }

    /// The types.
    ///
    /// # Errors
    /// `unavailable` while no node has told them.
    pub(crate) fn known(&self) -> Result<Arc<Known>, CallError> {
        self.0.borrow().clone().ok_or_else(unknown_yet)
    }

    /// Waits until a node has told the types.
    pub(crate) async fn told(&self) {
        // The other end is gone only when the process ends.
        let _ = self.0.clone().wait_for(Option::is_some).await;
    }

    /// Whether the types are known.
    ///
    /// # Errors
    /// `unavailable` while no node has told them.
    pub(crate) fn check(&self) -> Result<(), CallError> {
        if self.0.borrow().is_some() { Ok(()) } else { Err(unknown_yet()) }
    }

    /// How a type's payloads are written. Of a type that came a moment ago nothing may be known
    /// here yet; then it is the default.
    ///
    /// # Errors
    /// `unavailable` while no node has told the types.
    pub(crate) fn encoding(&self, type_name: &TypeName) -> Result<Encoding, CallError> {
        let known = self.0.borrow();
        let known = known.as_ref().ok_or_else(unknown_yet)?;
        Ok(known.find(type_name.as_str()).map(|found| found.encoding).unwrap_or_default())
    }

    /// Whether objects of a type want to know when a client is gone.
    pub(crate) fn hears_of_clients(&self, type_name: &TypeName) -> bool {
        let known = self.0.borrow();
        let found = known.as_ref().and_then(|known| known.find(type_name.as_str()));
        found.is_some_and(|found| found.hears_of_clients)
    }

    /// Waits, but not for long, until a revision shows as the active one.
    pub(crate) async fn shows(&self, type_name: &str, revision: u32) {
        let mut receiver = self.0.clone();
        let shown = receiver.wait_for(|known| {
            let described = known.as_ref().and_then(|known| known.find(type_name));
            described.is_some_and(|described| described.info.revision == revision)
        });
        // Not in time: another deploy may have won, and what is known will show soon enough.
        let _ = tokio::time::timeout(SHOWN_WITHIN, shown).await;
    }
}

impl Known {
    pub(crate) fn new(types: &[TypeInfo]) -> Self {
        let mut types: Vec<_> = types.iter().map(Described::new).collect();
        types.sort_by(|a, b| a.info.r#type.cmp(&b.info.r#type));
        Self { types, openapi: OnceLock::new() }
    }

    /// All types by name.
    pub(crate) fn types(&self) -> &[Described] {
        &self.types
    }

    /// The type of that name.
    pub(crate) fn find(&self, name: &str) -> Option<&Described> {
        let place = self.types.binary_search_by(|t| t.info.r#type.as_str().cmp(name)).ok()?;
        self.types.get(place)
    }

    /// The OpenAPI document, made when it is first asked for.
    pub(crate) fn openapi(&self) -> Bytes {
        let made = || openapi::document(&self.types).to_string().into();
        self.openapi.get_or_init(made).clone()
    }
}

impl Described {
    fn new(info: &TypeInfo) -> Self {
        let description: Value = serde_json::from_str(&info.description).unwrap_or_default();
        let methods = description["methods"].as_array();
        let hears_of_clients = methods
            .is_some_and(|methods| methods.iter().any(|method| method["name"] == ON_CLIENT_GONE));
        Self {
            info: info.clone(),
            encoding: Encoding::from_word(&info.encoding).unwrap_or_default(),
            hears_of_clients,
            description,
        }
    }

    /// The methods as the type described them.
    pub(crate) fn methods(&self) -> &[Value] {
        self.description["methods"].as_array().map(Vec::as_slice).unwrap_or_default()
    }
}

fn latest(source: &mut Source) -> Option<Arc<Known>> {
    source.borrow_and_update().as_ref().map(|types| Arc::new(Known::new(types)))
}

fn unknown_yet() -> CallError {
    CallError::new(ErrorKind::Unavailable, "this gate does not know the types yet")
        .retry_after(Duration::from_millis(200))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(name: &str, revision: u32, encoding: &str) -> TypeInfo {
        TypeInfo {
            r#type: name.into(),
            revision,
            encoding: encoding.into(),
            description: format!(r#"{{"type":"{name}","methods":[{{"name":"go"}}]}}"#),
            ..TypeInfo::default()
        }
    }

    #[tokio::test]
    async fn nothing_is_known_until_a_node_tells() {
        let (sender, source) = watch::channel(None);
        let shutdown = Shutdown::new();
        let catalog = Catalog::follow(source, &shutdown);
        let error = catalog.known().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.retry_after_hint().is_some());

        sender.send_replace(Some(Arc::new(vec![info("B", 1, "bytes"), info("A", 1, "json")])));
        catalog.shows("A", 1).await;
        let known = catalog.known().unwrap();
        let names: Vec<_> = known.types().iter().map(|t| t.info.r#type.as_str()).collect();
        assert_eq!(names, ["A", "B"]);
        assert_eq!(known.find("B").unwrap().methods()[0]["name"], "go");
        assert!(known.find("C").is_none());
        let encoding = |name| catalog.encoding(&TypeName::new(name).unwrap()).unwrap();
        assert_eq!([encoding("B"), encoding("C")], [Encoding::Bytes, Encoding::Json]);
        assert!(shutdown.drain(Duration::from_secs(5)).await);
    }

    #[tokio::test]
    async fn what_was_known_stays_known_without_its_source() {
        let (sender, source) = watch::channel(Some(Arc::new(vec![info("A", 1, "json")])));
        let shutdown = Shutdown::new();
        let catalog = Catalog::follow(source, &shutdown);
        drop(sender);
        assert_eq!(catalog.known().unwrap().types().len(), 1);
        assert!(shutdown.drain(Duration::from_secs(5)).await);
    }

    #[test]
    fn a_description_that_is_no_json_has_no_methods() {
        let broken = TypeInfo { description: "{".into(), ..info("A", 1, "json") };
        assert!(Known::new(&[broken]).find("A").unwrap().methods().is_empty());
    }
}
