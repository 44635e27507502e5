//! The gRPC side.

use std::error::Error as _;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream, stream::BoxStream};
use serde_json::{Map, Value, json};
use tonic::{
    Request, Status, TimeoutExpired,
    metadata::{Ascii, MetadataValue},
    transport::{Channel, Endpoint as Transport},
};
use wasmverse_core::{CallError, ErrorKind, ObjectId};
use wasmverse_proto::{
    admin::{
        self, ListTypesRequest, RolloutRequest, TailLogsRequest, UploadHeader, UploadTypeRequest,
        admin_service_client::AdminServiceClient, upload_type_request::Part,
    },
    convert::{object_to_ref, status_to_error},
    gate::{
        self, CallObjectRequest, CreateObjectRequest, DeleteObjectRequest, ListObjectsRequest,
        gate_service_client::GateServiceClient,
    },
};

use super::{CONNECT_TIMEOUT, CallRequest, ListRequest, LogsRequest, unreachable};
use crate::{
    answers::{self, LogLine, ObjectInfo, Page, Rollout, Uploaded, timestamp},
    endpoint::Endpoint,
    failure::{Failure, Result},
};

/// A component travels in pieces of this size.
const CHUNK_BYTES: usize = 1 << 20;
/// Larger than any payload that a cluster lets through.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// A connection to a gate.
#[derive(Clone, Debug)]
pub(crate) struct Grpc {
    gate: GateServiceClient<Channel>,
    admin: AdminServiceClient<Channel>,
    bearer: Option<MetadataValue<Ascii>>,
}

impl Grpc {
    pub(crate) async fn connect(endpoint: &Endpoint, token: Option<&str>) -> Result<Self> {
        let bearer = token.map(bearer).transpose()?;
        let channel = Transport::from_shared(endpoint.http_url())
            .map_err(|error| Failure::usage(format!("{endpoint} is no address: {error}")))?
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .connect()
            .await
            .map_err(|error| unreachable(endpoint, &error))?;
        let gate = GateServiceClient::new(channel.clone())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        let admin = AdminServiceClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
        Ok(Self { gate, admin, bearer })
    }

    pub(crate) async fn call(&mut self, request: &CallRequest) -> Result<Option<Bytes>> {
        let message = CallObjectRequest {
            object: Some(object_to_ref(&request.object)),
            method: request.method.clone(),
            payload: request.payload.clone(),
            idempotency_key: request.key.clone().unwrap_or_default(),
        };
        let mut message = self.signed(message);
        if let Some(timeout) = request.timeout {
            message.set_timeout(timeout);
        }
        let answer = self.gate.call_object(message).await.map_err(failure)?.into_inner();
        Ok(Some(answer.payload).filter(|payload| !payload.is_empty()))
    }

    pub(crate) async fn create(&mut self, object: &ObjectId) -> Result<()> {
        let message = CreateObjectRequest { object: Some(object_to_ref(object)) };
        let message = self.signed(message);
        self.gate.create_object(message).await.map_err(failure)?;
        Ok(())
    }

    pub(crate) async fn delete(&mut self, object: &ObjectId) -> Result<()> {
        let message = DeleteObjectRequest { object: Some(object_to_ref(object)) };
        let message = self.signed(message);
        self.gate.delete_object(message).await.map_err(failure)?;
        Ok(())
    }

    /// The side has no such method: an object is the first of those whose id begins with its own.
    pub(crate) async fn get(&mut self, object: &ObjectId) -> Result<ObjectInfo> {
        let request = ListRequest {
            type_name: Some(object.type_name().as_str().to_owned()),
            prefix: Some(object.id().to_owned()),
            limit: 1,
            page: None,
        };
        let found = self.list(&request).await?.objects.into_iter().find(|o| o.id == object.id());
        found.ok_or_else(|| {
            CallError::new(ErrorKind::NotFound, format!("there is no object {object}"))
                .about(object)
                .into()
        })
    }

    pub(crate) async fn list(&mut self, request: &ListRequest) -> Result<Page> {
        let message = ListObjectsRequest {
            r#type: request.type_name.clone().unwrap_or_default(),
            prefix: request.prefix.clone().unwrap_or_default(),
            limit: request.limit,
            page: request.page.clone().unwrap_or_default(),
        };
        let message = self.signed(message);
        let answer = self.gate.list_objects(message).await.map_err(failure)?.into_inner();
        Ok(Page {
            objects: answer.objects.into_iter().map(object_info).collect(),
            next_page: Some(answer.next_page).filter(|page| !page.is_empty()),
        })
    }

    pub(crate) async fn types(&mut self) -> Result<Vec<Value>> {
        let message = self.signed(ListTypesRequest {});
        let answer = self.admin.list_types(message).await.map_err(failure)?.into_inner();
        Ok(answer.types.iter().map(type_info).collect())
    }

    pub(crate) async fn upload(&mut self, component: Bytes) -> Result<Uploaded> {
        let message = self.signed(stream::iter(upload_parts(&component)));
        let answer = self.admin.upload_type(message).await.map_err(failure)?.into_inner();
        Ok(uploaded(answer))
    }

    pub(crate) async fn rollout(
        &mut self,
        type_name: &str,
    ) -> Result<BoxStream<'static, Result<Rollout>>> {
        let message = self.signed(RolloutRequest { r#type: type_name.to_owned() });
        let stream = self.admin.rollout(message).await.map_err(failure)?.into_inner();
        Ok(stream.map(|item| item.map(rollout).map_err(failure)).boxed())
    }

    pub(crate) async fn logs(
        &mut self,
        request: &LogsRequest,
    ) -> Result<BoxStream<'static, Result<LogLine>>> {
        let message = self.signed(TailLogsRequest {
            r#type: request.type_name.clone(),
            id: request.id.clone(),
            recent: request.recent,
        });
        let stream = self.admin.tail_logs(message).await.map_err(failure)?.into_inner();
        Ok(stream.map(|item| item.map(log_line).map_err(failure)).boxed())
    }

    fn signed<M>(&self, message: M) -> Request<M> {
        let mut request = Request::new(message);
        if let Some(bearer) = &self.bearer {
            request.metadata_mut().insert("authorization", bearer.clone());
        }
        request
    }
}

/// The header that shows a token.
pub(crate) fn bearer(token: &str) -> Result<MetadataValue<Ascii>> {
    let mut value: MetadataValue<Ascii> = format!("Bearer {token}")
        .parse()
        .map_err(|_| Failure::usage("a token has no line breaks and no control characters"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// An upload as the messages of its stream; it asks for the component to be made active.
fn upload_parts(component: &Bytes) -> Vec<UploadTypeRequest> {
    let author = std::env::var("USER").unwrap_or_default();
    let header = Part::Header(UploadHeader { store_only: false, author });
    let starts = (0..component.len()).step_by(CHUNK_BYTES);
    let chunks = starts
        .map(|start| Part::Chunk(component.slice(start..component.len().min(start + CHUNK_BYTES))));
    std::iter::once(header)
        .chain(chunks)
        .map(|part| UploadTypeRequest { part: Some(part) })
        .collect()
}

fn uploaded(answer: admin::UploadTypeResponse) -> Uploaded {
    Uploaded {
        type_name: answer.r#type,
        revision: answer.revision,
        digest: answer.digest,
        active: answer.active,
    }
}

fn rollout(progress: admin::RolloutProgress) -> Rollout {
    let refused = progress.refused.into_iter();
    Rollout {
        type_name: progress.r#type,
        revision: progress.revision,
        live: progress.live,
        moved: progress.moved,
        gone: progress.gone,
        refused_total: progress.refused_total,
        refused: refused.map(|r| answers::Refusal { id: r.id, reason: r.reason }).collect(),
        done: progress.done,
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it stands where `map_err` calls it")]
fn failure(status: Status) -> Failure {
    // The channel keeps the deadline, too, and may be the first to say so.
    let mut sources = std::iter::successors(status.source(), |error| (*error).source());
    if sources.any(<dyn std::error::Error>::is::<TimeoutExpired>) {
        let error = CallError::new(ErrorKind::Timeout, "no answer came within the deadline");
        return error.maybe_executed().into();
    }
    status_to_error(&status).into()
}

fn log_line(line: admin::LogLine) -> LogLine {
    LogLine {
        at: timestamp(line.at_micros),
        type_name: line.r#type,
        id: line.id,
        level: line.level,
        message: line.message,
        fields: line.fields.into_iter().collect(),
        turn: line.turn,
        missed: line.missed,
    }
}

fn object_info(info: gate::ObjectInfo) -> ObjectInfo {
    let object = info.object.unwrap_or_default();
    ObjectInfo {
        type_name: object.r#type,
        id: object.id,
        state: info.state,
        node: Some(info.node).filter(|node| !node.is_empty()),
        revision: info.revision,
        updated_at: (info.updated_at_micros > 0).then(|| timestamp(info.updated_at_micros)),
    }
}

/// A type as the HTTP side lists it.
fn type_info(info: &admin::TypeInfo) -> Value {
    let description: Map<String, Value> =
        serde_json::from_str(&info.description).unwrap_or_default();
    json!({
        "type": info.r#type,
        "revision": info.revision,
        "digest": info.digest,
        "durability": info.durability,
        "doc": info.doc,
        "methods": description.get("methods").cloned().unwrap_or_else(|| json!([])),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_travels_in_pieces_behind_its_header() {
        let component = Bytes::from(vec![7; CHUNK_BYTES + 1]);
        let parts = upload_parts(&component);
        let sizes: Vec<_> = parts
            .iter()
            .map(|part| match &part.part {
                Some(Part::Chunk(chunk)) => chunk.len(),
                Some(Part::Header(_) | Part::Complete(_)) => 0,
                None => unreachable!("every message has a part"),
            })
            .collect();
        assert_eq!(sizes, [0, CHUNK_BYTES, 1]);
    }

    #[test]
    fn a_type_is_shown_with_the_methods_that_it_describes() {
        let info = admin::TypeInfo {
            r#type: "Echo".into(),
            description: r#"{"type":"Echo","methods":[{"name":"echo"}]}"#.into(),
            ..admin::TypeInfo::default()
        };
        assert_eq!(type_info(&info)["methods"][0]["name"], "echo");
    }

    #[test]
    fn a_token_with_a_line_break_is_refused() {
        assert!(bearer("secret").unwrap().is_sensitive());
        assert!(matches!(bearer("a\nb"), Err(Failure::Usage(_))));
    }
}
