//! gRPC for clients and operators: the services, and what surrounds them.
//!
//! Requests are told apart here, by path: operators pass the rule of access before anything of
//! their request is read, and calls take the shortest way.

mod admin;
mod body;
mod objects;
mod session;
mod terms;

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use anyhow::Context as _;
use futures_util::future::BoxFuture;
use http::{Request, Response, header::HeaderMap};
use hyper::body::Incoming;
use tonic::{Code, body::Body, codec::CompressionEncoding, server::NamedService, service::Routes};
use tonic_health::{ServingStatus, server::HealthReporter};
use tower::Service;
use wasmverse_core::{CallError, ErrorKind};
use wasmverse_proto::{
    DESCRIPTORS, admin::admin_service_server::AdminServiceServer, convert::error_to_status,
    gate::gate_service_server::GateServiceServer,
};

use crate::{
    access::Credentials,
    call::{Desk, too_large},
    metrics::{Operation, Surface},
};
use admin::Admin;
use body::Whole;
use objects::Objects;

/// What surrounds a payload in a message.
const ENVELOPE_BYTES: usize = 64 << 10;
/// A piece of an upload.
const PIECE_BYTES_MAX: usize = 4 << 20;

type Gate = GateServiceServer<Objects>;
type Operators = AdminServiceServer<Admin>;

/// All services of a gate.
#[derive(Clone, Debug)]
pub(crate) struct Services {
    desk: Arc<Desk>,
    gate: Gate,
    operators: Operators,
    rest: Routes,
}

/// Tells the standard health service how things are.
#[derive(Clone, Debug)]
pub(crate) struct Health(HealthReporter);

impl Health {
    /// Serving or not, as a whole and each service.
    pub(crate) async fn set(&self, serving: bool) {
        let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
        for name in ["", Gate::NAME, Operators::NAME] {
            self.0.set_service_status(name, status).await;
        }
    }
}

/// Makes the services of a gate.
pub(crate) fn services(desk: &Arc<Desk>) -> anyhow::Result<(Services, Health)> {
    let (reporter, health) = tonic_health::server::health_reporter();
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            // What is spoken between processes is not served here.
            .with_service_name(Gate::NAME)
            .with_service_name(Operators::NAME)
            .with_service_name("grpc.health.v1.Health")
    };
    let v1 = reflection().build_v1().context("failed to read our own descriptors")?;
    let v1alpha = reflection().build_v1alpha().context("failed to read our own descriptors")?;
    let rest = Routes::new(health).add_service(v1).add_service(v1alpha).prepare();
    let message_bytes_max = desk.body_bytes_max + ENVELOPE_BYTES;
    let gate = GateServiceServer::new(Objects(Arc::clone(desk)))
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(message_bytes_max);
    let operators = AdminServiceServer::new(Admin(Arc::clone(desk)))
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(PIECE_BYTES_MAX + ENVELOPE_BYTES);
    Ok((Services { desk: Arc::clone(desk), gate, operators, rest }, Health(reporter)))
}

impl Services {
    /// Whether a request for the admin service may come in.
    fn check(&self, request: &Request<Incoming>) -> Result<(), CallError> {
        let headers: &HeaderMap = request.headers();
        let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default());
        let authority = request.uri().authority().map(http::uri::Authority::as_str);
        let shown = Credentials {
            authorization: text("authorization"),
            origin: text("origin"),
            host: authority.or_else(|| text("host")),
        };
        let allowed = self.desk.access.check(shown);
        if allowed.is_err() {
            self.desk.meter.begin(Surface::Grpc, Operation::Admin).end(&allowed);
        }
        allowed
    }
}

impl Service<Request<Incoming>> for Services {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        if is_for::<Gate>(&request) {
            let within = self.desk.timeouts.default;
            let share = self.desk.budget.share();
            let answer = self.gate.call(request.map(|body| Whole::within(body, within, share)));
            let bytes_max = self.desk.body_bytes_max;
            return Box::pin(async move { Ok(in_our_words(answer.await?, bytes_max)) });
        }
        if is_for::<Operators>(&request) {
            if let Err(error) = self.check(&request) {
                let refused = error_to_status(&error).into_http();
                return Box::pin(std::future::ready(Ok(refused)));
            }
            let answer = self.operators.call(request.map(Whole::new));
            return Box::pin(async move { Ok(in_our_words(answer.await?, PIECE_BYTES_MAX)) });
        }
        Box::pin(Service::call(&mut self.rest, request))
    }
}

fn is_for<S: NamedService>(request: &Request<Incoming>) -> bool {
    let rest = request.uri().path().strip_prefix('/').and_then(|path| path.strip_prefix(S::NAME));
    rest.is_some_and(|rest| rest.starts_with('/'))
}

/// The codec refuses messages that are too large before we see them, with a code of its own that
/// we never use.
fn in_our_words(response: Response<Body>, bytes_max: usize) -> Response<Body> {
    // Only an answer that is nothing but a status has it among its headers.
    let Some(status) = response.headers().get("grpc-status") else { return response };
    if Code::from_bytes(status.as_bytes()) != Code::OutOfRange {
        return response;
    }
    let error = CallError::new(ErrorKind::InvalidArgument, too_large(bytes_max));
    error_to_status(&error).into_http()
}
