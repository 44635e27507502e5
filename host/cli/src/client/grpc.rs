//! The gRPC side.

use std::{error::Error as _, future::Future};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream, stream::BoxStream};
use serde_json::{Map, Value, json};
use tonic::{
    Request, Response, Status, TimeoutExpired,
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

use super::{
    CONNECT_TIMEOUT, CallRequest, ListRequest, LogsRequest, Patience, other_side,
    patience::CALL_GRACE, unreachable,
};
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
    pub(super) gate: GateServiceClient<Channel>,
    pub(super) admin: AdminServiceClient<Channel>,
    bearer: Option<MetadataValue<Ascii>>,
    pub(super) endpoint: Endpoint,
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
        Ok(Self { gate, admin, bearer, endpoint: endpoint.clone() })
    }

    pub(crate) async fn call(&mut self, request: &CallRequest) -> Result<Option<Bytes>> {
        let message = CallObjectRequest {
            object: Some(object_to_ref(&request.object)),
            method: request.method.clone(),
            payload: request.payload.clone(),
            idempotency_key: request.key.clone().unwrap_or_default(),
        };
        let mut message = self.signed(message);
        if let Some(session) = request.session.as_deref().and_then(|session| session.parse().ok()) {
            message.metadata_mut().insert("wasmverse-session", session);
        }
        if let Some(timeout) = request.timeout {
            message.set_timeout(timeout);
        }
        let patience = Patience::of_call(request.timeout);
        let calling = self.gate.call_object(message);
        let answer = match patience.wait(&self.endpoint, calling).await? {
            Ok(answer) => answer.into_inner(),
            Err(status) if is_expired(&status) => {
                return Err(self.expired(&request.object, patience).await);
            }
            Err(status) => return Err(failure(&self.endpoint, &status)),
        };
        Ok(Some(answer.payload).filter(|payload| !payload.is_empty()))
    }

    pub(crate) async fn create(&mut self, object: &ObjectId) -> Result<()> {
        let message = CreateObjectRequest { object: Some(object_to_ref(object)) };
        let message = self.signed(message);
        answered(&self.endpoint, Patience::WRITE, self.gate.create_object(message)).await?;
        Ok(())
    }

    pub(crate) async fn delete(&mut self, object: &ObjectId) -> Result<()> {
        let message = DeleteObjectRequest { object: Some(object_to_ref(object)) };
        let message = self.signed(message);
        answered(&self.endpoint, Patience::WRITE, self.gate.delete_object(message)).await?;
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
        let asking = self.gate.list_objects(message);
        let answer = answered(&self.endpoint, Patience::READ, asking).await?;
        Ok(Page {
            objects: answer.objects.into_iter().map(object_info).collect(),
            next_page: Some(answer.next_page).filter(|page| !page.is_empty()),
        })
    }

    pub(crate) async fn types(&mut self) -> Result<Vec<Value>> {
        let message = self.signed(ListTypesRequest {});
        let asking = self.admin.list_types(message);
        let answer = answered(&self.endpoint, Patience::READ, asking).await?;
        Ok(answer.types.iter().map(type_info).collect())
    }

    pub(crate) async fn upload(&mut self, component: Bytes) -> Result<Uploaded> {
        let message = self.signed(stream::iter(upload_parts(&component)));
        let uploading = self.admin.upload_type(message);
        let answer = answered(&self.endpoint, Patience::UPLOAD, uploading).await?;
        Ok(uploaded(answer))
    }

    pub(crate) async fn rollout(
        &mut self,
        type_name: &str,
    ) -> Result<BoxStream<'static, Result<Rollout>>> {
        let message = self.signed(RolloutRequest { r#type: type_name.to_owned() });
        let asking = self.admin.rollout(message);
        let stream = answered(&self.endpoint, Patience::READ, asking).await?;
        let endpoint = self.endpoint.clone();
        let failed = move |status| failure(&endpoint, &status);
        Ok(stream.map(move |item| item.map(rollout).map_err(&failed)).boxed())
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
        let asking = self.admin.tail_logs(message);
        let stream = answered(&self.endpoint, Patience::READ, asking).await?;
        let endpoint = self.endpoint.clone();
        let failed = move |status| failure(&endpoint, &status);
        Ok(stream.map(move |item| item.map(log_line).map_err(&failed)).boxed())
    }

    /// The channel keeps the deadline, too, and may be the first to say so: whether the object was
    /// slow or the server says nothing at all shows in whether it answers something else.
    async fn expired(&mut self, object: &ObjectId, patience: Patience) -> Failure {
        let message = self.signed(ListTypesRequest {});
        if tokio::time::timeout(CALL_GRACE, self.admin.list_types(message)).await.is_err() {
            return patience.silent(&self.endpoint);
        }
        let error = CallError::new(ErrorKind::Timeout, "no answer came within the deadline");
        error.maybe_executed().about(object).into()
    }

    pub(super) fn signed<M>(&self, message: M) -> Request<M> {
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

/// What was answered, if something good was and in time.
pub(super) async fn answered<T>(
    endpoint: &Endpoint,
    patience: Patience,
    answer: impl Future<Output = std::result::Result<Response<T>, Status>>,
) -> Result<T> {
    let answer = patience.wait(endpoint, answer).await?;
    answer.map(Response::into_inner).map_err(|status| failure(endpoint, &status))
}

fn is_expired(status: &Status) -> bool {
    let mut sources = std::iter::successors(status.source(), |error| (*error).source());
    sources.any(<dyn std::error::Error>::is::<TimeoutExpired>)
}

pub(super) fn failure(endpoint: &Endpoint, status: &Status) -> Failure {
    // What tonic says of answers without gRPC in them, and h2 of those without HTTP/2.
    let plain_http =
        ["grpc-status header missing", "invalid compression flag", "frame with invalid size"];
    let mut words = vec![status.message().to_owned()];
    let sources = std::iter::successors(status.source(), |error| (*error).source());
    words.extend(sources.map(ToString::to_string));
    if words.iter().any(|text| plain_http.iter().any(|sign| text.contains(sign))) {
        return other_side(endpoint);
    }
    status_to_error(status).into()
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
        "label": info.label,
        "durability": info.durability,
        "encoding": info.encoding,
        "schema": description.get("schema").and_then(Value::as_u64).unwrap_or(1),
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
    fn a_type_is_shown_as_the_http_side_lists_it() {
        let info = admin::TypeInfo {
            r#type: "Echo".into(),
            revision: 2,
            digest: "d1".into(),
            label: "v1".into(),
            durability: "volatile".into(),
            encoding: "json".into(),
            doc: "Says it again".into(),
            description: r#"{"type":"Echo","schema":3,"methods":[{"name":"echo"}]}"#.into(),
        };
        let expected = json!({
            "type": "Echo", "revision": 2, "digest": "d1", "label": "v1", "schema": 3,
            "durability": "volatile", "encoding": "json", "doc": "Says it again",
            "methods": [{"name": "echo"}],
        });
        assert_eq!(type_info(&info), expected);
        let plain = type_info(&admin::TypeInfo::default());
        assert_eq!((&plain["schema"], &plain["methods"]), (&json!(1), &json!([])));
    }

    #[test]
    fn a_token_with_a_line_break_is_refused() {
        assert!(bearer("secret").unwrap().is_sensitive());
        assert!(matches!(bearer("a\nb"), Err(Failure::Usage(_))));
    }
}
