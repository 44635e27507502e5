//! A client of the gRPC side.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use prost::Message as _;
use tonic::{Code, Status, transport::Channel};
use wasmverse_core::CallError;
use wasmverse_proto::{
    admin::{
        UploadHeader, UploadTypeRequest, UploadTypeResponse,
        admin_service_client::AdminServiceClient, upload_type_request::Part,
    },
    convert::status_to_error,
    gate::{
        CallObjectRequest, CallObjectResponse, CreateObjectRequest, DeleteObjectRequest,
        ListObjectsRequest, ListObjectsResponse, ObjectRef, gate_service_client::GateServiceClient,
    },
};

/// A client of one gate. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Grpc {
    address: String,
    channel: Channel,
}

/// What went wrong, on the wire and as the error that it stands for.
#[derive(Debug)]
pub struct Failed {
    /// The status code of gRPC.
    pub code: Code,
    /// The error in its details.
    pub error: CallError,
}

impl From<Status> for Failed {
    fn from(status: Status) -> Self {
        Self { code: status.code(), error: status_to_error(&status) }
    }
}

impl Grpc {
    /// Connects to a gate at `HOST:PORT`.
    ///
    /// # Panics
    /// If nobody answers.
    pub async fn connect(address: &str) -> Self {
        let endpoint = Channel::from_shared(format!("http://{address}")).expect("an address");
        let channel = endpoint.connect().await.expect("the gate answers");
        Self { address: address.into(), channel }
    }

    /// Calls a method of `Type/id`.
    ///
    /// # Errors
    /// What the gate answers.
    pub async fn call(
        &self,
        object: &str,
        method: &str,
        payload: impl Into<Bytes>,
        timeout: Option<Duration>,
    ) -> Result<Bytes, Failed> {
        let request = CallObjectRequest {
            object: Some(reference(object)),
            method: method.into(),
            payload: payload.into(),
            ..CallObjectRequest::default()
        };
        match timeout {
            None => Ok(self.gate().call_object(request).await?.into_inner().payload),
            Some(timeout) => self.call_within(request, timeout).await,
        }
    }

    /// tonic's client keeps the deadline itself and says so in words of its own; to see what the
    /// gate answers, the call is made by hand.
    async fn call_within(
        &self,
        request: CallObjectRequest,
        timeout: Duration,
    ) -> Result<Bytes, Failed> {
        let message = request.encode_to_vec();
        let length = u32::try_from(message.len()).expect("a small message").to_be_bytes();
        let client = reqwest::Client::builder().http2_prior_knowledge().build();
        let path = "wasmverse.gate.v1.GateService/CallObject";
        let response = client
            .expect("a client of HTTP/2")
            .post(format!("http://{}/{path}", self.address))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("grpc-timeout", format!("{}m", timeout.as_millis()))
            .body([&[0][..], &length, &message].concat())
            .send()
            .await
            .expect("the gate answers");
        // Without an answer, what would be trailers are headers.
        if let Some(status) = Status::from_header_map(response.headers()) {
            return Err(status.into());
        }
        let body = response.bytes().await.expect("an answer");
        Ok(CallObjectResponse::decode(&body[5..]).expect("a message").payload)
    }

    /// Calls with an idempotency key.
    ///
    /// # Errors
    /// What the gate answers.
    pub async fn call_keyed(
        &self,
        object: &str,
        method: &str,
        payload: impl Into<Bytes>,
        key: &str,
    ) -> Result<Bytes, Failed> {
        let request = CallObjectRequest {
            object: Some(reference(object)),
            method: method.into(),
            payload: payload.into(),
            idempotency_key: key.into(),
        };
        Ok(self.gate().call_object(request).await?.into_inner().payload)
    }

    /// Creates an object.
    ///
    /// # Errors
    /// What the gate answers.
    pub async fn create(&self, object: &str) -> Result<(), Failed> {
        let request = CreateObjectRequest { object: Some(reference(object)) };
        self.gate().create_object(request).await?;
        Ok(())
    }

    /// Deletes an object.
    ///
    /// # Errors
    /// What the gate answers.
    pub async fn delete(&self, object: &str) -> Result<(), Failed> {
        let request = DeleteObjectRequest { object: Some(reference(object)) };
        self.gate().delete_object(request).await?;
        Ok(())
    }

    /// Lists objects.
    ///
    /// # Errors
    /// What the gate answers.
    pub async fn list(&self, request: ListObjectsRequest) -> Result<ListObjectsResponse, Failed> {
        Ok(self.gate().list_objects(request).await?.into_inner())
    }

    /// Uploads a component in pieces and makes it active.
    ///
    /// # Errors
    /// What the gate answers.
    pub async fn upload(&self, component: Bytes) -> Result<UploadTypeResponse, Failed> {
        let header = UploadHeader { store_only: false, author: "a test".into() };
        let mut parts = vec![Part::Header(header)];
        parts.extend(component.chunks(64 << 10).map(|it| Part::Chunk(component.slice_ref(it))));
        let parts = parts.into_iter().map(|part| UploadTypeRequest { part: Some(part) });
        let uploaded = self.admin().upload_type(stream::iter(parts)).await?;
        Ok(uploaded.into_inner())
    }

    /// The operators' side.
    pub fn admin(&self) -> AdminServiceClient<Channel> {
        AdminServiceClient::new(self.channel.clone())
    }

    /// The clients' side.
    pub fn gate(&self) -> GateServiceClient<Channel> {
        GateServiceClient::new(self.channel.clone()).max_decoding_message_size(64 << 20)
    }
}

fn reference(object: &str) -> ObjectRef {
    let (type_name, id) = object.split_once('/').expect("Type/id");
    ObjectRef { r#type: type_name.into(), id: id.into() }
}
