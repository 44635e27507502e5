"""A client in another language, with nothing but the stubs that protoc made of proto/.

Arguments: HOST:PORT of a gate, and the file of a component to upload."""
import json
import sys

import grpc
from wasmverse.admin.v1 import admin_pb2, admin_pb2_grpc
from wasmverse.gate.v1 import gate_pb2, gate_pb2_grpc

address, component = sys.argv[1], sys.argv[2]
channel = grpc.insecure_channel(address)
gate = gate_pb2_grpc.GateServiceStub(channel)
admin = admin_pb2_grpc.AdminServiceStub(channel)


def ref(object_type, object_id):
    return gate_pb2.ObjectRef(type=object_type, id=object_id)


def call(object_type, object_id, method, payload=b"", **options):
    request = gate_pb2.CallObjectRequest(object=ref(object_type, object_id), method=method, payload=payload)
    return gate.CallObject(request, timeout=options.get("timeout", 30)).payload


def fails(code, *arguments, **options):
    try:
        call(*arguments, **options)
    except grpc.RpcError as error:
        assert error.code() == code, (arguments, error)
        return error
    raise AssertionError(f"{arguments} did not fail")


def reason_of(error):
    """The reason in google.rpc.ErrorInfo, without its library: the first string of the detail."""
    details = dict(error.trailing_metadata())["grpc-status-details-bin"]
    assert b"google.rpc.ErrorInfo" in details
    return details


assert call("Counter", "from-python", "add", b"5") == b"5"
assert call("Counter", "from-python", "add", b"-7") == b"-2"
assert call("Counter", "ö€漢/a b", "add", b"1") == b"1"
assert call("Echo", "e", "echo", '{"ö": [1, null]}'.encode()) == '{"ö": [1, null]}'.encode()
assert call("Counter", "from-python", "reset") == b""

assert b"insufficient-funds" in reason_of(fails(grpc.StatusCode.UNKNOWN, "BankAccount", "b", "withdraw", b"5"))
assert b"not-found" in reason_of(fails(grpc.StatusCode.NOT_FOUND, "Nobody", "b", "x"))
fails(grpc.StatusCode.INVALID_ARGUMENT, "Counter", "c", "add", b'"five"')
fails(grpc.StatusCode.PERMISSION_DENIED, "Mischief", "m", "write_in_read_only")
fails(grpc.StatusCode.FAILED_PRECONDITION, "Mischief", "m", "call_myself")
fails(grpc.StatusCode.DEADLINE_EXCEEDED, "Mischief", "slow", "wait", b"5000", timeout=0.2)
assert b"trapped" in reason_of(fails(grpc.StatusCode.ABORTED, "Mischief", "t", "trap"))

gate.CreateObject(gate_pb2.CreateObjectRequest(object=ref("Counter", "made")))
try:
    gate.CreateObject(gate_pb2.CreateObjectRequest(object=ref("Counter", "made")))
    raise AssertionError("it was created twice")
except grpc.RpcError as error:
    assert error.code() == grpc.StatusCode.ALREADY_EXISTS, error
listed = gate.ListObjects(gate_pb2.ListObjectsRequest(type="Counter", prefix="ma"))
assert [found.object.id for found in listed.objects] == ["made"], listed
for _ in range(2):
    gate.DeleteObject(gate_pb2.DeleteObjectRequest(object=ref("Counter", "made")))

with open(component, "rb") as file:
    data = file.read()
parts = [admin_pb2.UploadTypeRequest(header=admin_pb2.UploadHeader(author="python"))]
parts += [admin_pb2.UploadTypeRequest(chunk=data[at : at + 16384]) for at in range(0, len(data), 16384)]
uploaded = admin.UploadType(iter(parts))
assert (uploaded.type, uploaded.active) == ("Counter", True), uploaded
names = [known.type for known in admin.ListTypes(admin_pb2.ListTypesRequest()).types]
assert {"BankAccount", "Counter", "Echo", "Mischief"} <= set(names), names

# Many at once over one channel.
futures = [
    gate.CallObject.future(
        gate_pb2.CallObjectRequest(object=ref("Counter", "race"), method="add", payload=b"1"), timeout=30
    )
    for _ in range(500)
]
values = sorted(int(future.result().payload) for future in futures)
assert values == list(range(1, 501)), values[:10]


class Session:
    """A session as a stream of events, which can be cut and resumed."""

    def __init__(self, token="", seq=0):
        request = gate_pb2.OpenSessionRequest(session_token=token, last_seq=seq)
        self.events = gate.OpenSession(request, timeout=60)
        self.seq = seq
        first = next(self.events)
        assert first.WhichOneof("event") == "opened", first
        self.client, self.token = first.opened.client_id, first.opened.session_token

    def next(self, kind):
        for event in self.events:
            if event.WhichOneof("event") == "heartbeat":
                continue
            assert event.WhichOneof("event") == kind, event
            self.seq = event.seq
            return getattr(event, kind)
        raise AssertionError(f"the stream ended before a {kind}")

    def text(self):
        push = self.next("push")
        assert push.event == "message", push
        return json.loads(push.payload)["text"]

    def call(self, method, argument):
        request = gate_pb2.CallObjectRequest(
            object=ref("ChatRoom", "python"), method=method, payload=json.dumps(argument).encode())
        return gate.CallObject(request, timeout=30, metadata=[("wasmverse-session", self.token)]).payload


session = Session()
assert "/" in session.client and session.token not in session.client
assert json.loads(session.call("join", {"user": "python"}))["members"] == ["python"]
assert session.next("push").event == "joined"
session.call("send_message", {"user": "python", "text": "one <b>🦀</b>"})
assert session.text() == "one <b>🦀</b>"
session.events.cancel()
for text in ("two", "three"):
    call("ChatRoom", "python", "send_message", json.dumps({"user": "python", "text": text}).encode())
again = Session(session.token, session.seq)
assert again.client == session.client
assert [again.text(), again.text()] == ["two", "three"]
unknown = Session("nobody's", 7)
assert unknown.client != session.client
assert not unknown.next("gap").HasField("missed")
for token in ("", "x", session.client):
    session.token = token
    try:
        session.call("members", None)
        raise AssertionError(f"{token!r} is a session")
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.UNAUTHENTICATED, error
for opened in (again, unknown):
    opened.events.cancel()
print("fine")
