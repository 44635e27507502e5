// One object in C that uses every item of the contract, without WASI and stdio. What each method
// does stands in ../README.md; the other languages do the same.
//
// Arguments are owned by the callee, results by the caller; a freed result must have come from
// malloc. Memory of a turn is small here, so what is not handed out is simply freed at its end.
#include <stdlib.h>
#include <string.h>

#include "object.h"

typedef object_string_t string;
typedef object_list_u8_t bytes;
typedef wasmverse_object_types_failure_t failure;
typedef wasmverse_object_types_request_t request;
typedef wasmverse_object_types_object_ref_t object_ref;

static char me[64 + 1 + 255 + 1];
static int64_t value;

// ---- text ----

static string borrowed(const char *text) {
  return (string){(uint8_t *)text, strlen(text)};
}

static string owned(const char *text) {
  string s;
  object_string_dup(&s, text);
  return s;
}

// What grows until it is handed out.
typedef struct {
  uint8_t *ptr;
  size_t len;
} buffer;

static void put_bytes(buffer *b, const uint8_t *from, size_t len) {
  b->ptr = realloc(b->ptr, b->len + len + 1);
  if (len) memcpy(b->ptr + b->len, from, len);
  b->len += len;
}

static void put(buffer *b, const char *text) {
  put_bytes(b, (const uint8_t *)text, strlen(text));
}

static void put_string(buffer *b, const string *s) {
  put_bytes(b, s->ptr, s->len);
}

static void put_number(buffer *b, int64_t number) {
  char digits[24];
  int at = sizeof digits;
  uint64_t rest = number < 0 ? -(uint64_t)number : (uint64_t)number;
  digits[--at] = 0;
  do {
    digits[--at] = '0' + rest % 10;
    rest /= 10;
  } while (rest);
  if (number < 0) digits[--at] = '-';
  put(b, digits + at);
}

static bool read_number(const bytes *from, int64_t *to) {
  size_t at = 0;
  bool negative = from->len > 0 && from->ptr[0] == '-';
  int64_t number = 0;
  if (negative) at = 1;
  if (at == from->len || from->len > 18) return false;
  for (; at < from->len; at++) {
    if (from->ptr[at] < '0' || from->ptr[at] > '9') return false;
    number = number * 10 + (from->ptr[at] - '0');
  }
  *to = negative ? -number : number;
  return true;
}

// The piece of `rest` before `stop`; `rest` becomes what follows it.
static string until(string *rest, char stop) {
  string piece = *rest;
  uint8_t *found = rest->len ? memchr(rest->ptr, stop, rest->len) : NULL;
  if (found) {
    piece.len = found - rest->ptr;
    *rest = (string){found + 1, rest->len - piece.len - 1};
  } else {
    *rest = (string){rest->ptr + rest->len, 0};
  }
  return piece;
}

static object_ref ref_of(string words) {
  object_ref ref;
  ref.type_name = until(&words, '/');
  ref.id = words;
  return ref;
}

// `Type/id method rest of the line`
static request request_of(string line) {
  request r;
  r.to = ref_of(until(&line, ' '));
  r.method = until(&line, ' ');
  r.payload = (bytes){line.ptr, line.len};
  r.options = (wasmverse_object_types_pairs_t){NULL, 0};
  return r;
}

// ---- answers ----

static bool fail(failure *err, const char *kind, const char *code, const char *message) {
  *err = (failure){0};
  err->kind = owned(kind);
  err->code = owned(code);
  err->message = owned(message);
  return false;
}

static bool answer(bytes *ret, buffer b) {
  *ret = (bytes){b.ptr, b.len};
  return true;
}

static void put_word(buffer *b, bool well, failure *err) {
  if (b->len) put(b, " ");
  if (well) {
    put(b, "ok");
  } else {
    put_string(b, &err->kind);
    wasmverse_object_types_failure_free(err);
  }
}

// ---- methods ----

static bool relay_many(string lines, bytes *ret) {
  request requests[16];
  wasmverse_object_objects_list_request_t list = {requests, 0};
  while (lines.len && list.len < 16) requests[list.len++] = request_of(until(&lines, '\n'));
  wasmverse_object_objects_list_result_list_u8_failure_t answers;
  wasmverse_object_objects_call_many(&list, &answers);
  buffer b = {0};
  for (size_t at = 0; at < answers.len; at++) {
    if (at) put(&b, "\n");
    if (answers.ptr[at].is_err) {
      put(&b, "err ");
      put_string(&b, &answers.ptr[at].val.err.kind);
    } else {
      put(&b, "ok ");
      put_bytes(&b, answers.ptr[at].val.ok.ptr, answers.ptr[at].val.ok.len);
    }
  }
  wasmverse_object_objects_list_result_list_u8_failure_free(&answers);
  return answer(ret, b);
}

static void put_line(buffer *b, const char *name, bool known, string *word) {
  put(b, name);
  if (known) {
    put_string(b, word);
    object_string_free(word);
  } else {
    put(b, "-");
  }
}

static bool who(bytes *ret) {
  buffer b = {0};
  string s;
  object_ref caller;
  wasmverse_object_turn_id(&s);
  put_line(&b, "id ", true, &s);
  put(&b, "\ncaller ");
  if (wasmverse_object_turn_caller(&caller)) {
    put_string(&b, &caller.type_name);
    put(&b, "/");
    put_string(&b, &caller.id);
    wasmverse_object_types_object_ref_free(&caller);
  } else {
    put(&b, "-");
  }
  bool known = wasmverse_object_turn_client(&s);
  put_line(&b, "\nclient ", known, &s);
  bool left = wasmverse_object_turn_deadline_micros() > wasmverse_object_system_now_micros();
  put(&b, left ? "\nleft true" : "\nleft false");
  known = wasmverse_object_turn_idempotency_key(&s);
  put_line(&b, "\nkey ", known, &s);
  known = wasmverse_object_turn_traceparent(&s);
  put_line(&b, "\ntrace ", known, &s);
  wasmverse_object_turn_revision(&s);
  put_line(&b, "\nrevision ", true, &s);
  put(&b, wasmverse_object_turn_read_only() ? "\nread-only true" : "\nread-only false");
  return answer(ret, b);
}

static bool try_storage(bytes *ret) {
  buffer b = {0};
  failure err;
  string key = borrowed("a"), none = {0};
  bytes one = {(uint8_t *)"1", 1};
  object_option_list_u8_t found = {0};
  object_list_tuple2_string_list_u8_t page = {0};
  put_word(&b, wasmverse_object_storage_set(&key, &one, &err), &err);
  put_word(&b, wasmverse_object_storage_get(&key, &found, &err), &err);
  object_option_list_u8_free(&found);
  put_word(&b, wasmverse_object_storage_scan(&none, &none, 10, &page, &err), &err);
  object_list_tuple2_string_list_u8_free(&page);
  put_word(&b, wasmverse_object_storage_delete(&key, &err), &err);
  return answer(ret, b);
}

static bool try_reminders(bytes *ret) {
  buffer b = {0};
  failure err;
  string name = borrowed("tea"), when = borrowed("every 5s"), method = borrowed("value");
  bytes none = {0};
  wasmverse_object_reminders_list_reminder_t pending = {0};
  put_word(&b, wasmverse_object_reminders_set(&name, &when, &method, &none, &err), &err);
  put_word(&b, wasmverse_object_reminders_pending(&pending, &err), &err);
  wasmverse_object_reminders_list_reminder_free(&pending);
  put_word(&b, wasmverse_object_reminders_cancel(&name, &err), &err);
  return answer(ret, b);
}

static void note(string message, const char *level, bool field) {
  string level_text = borrowed(level);
  object_tuple2_string_string_t pair = {borrowed("from"), borrowed("golden")};
  wasmverse_object_log_pairs_t fields = {&pair, field ? 1 : 0};
  wasmverse_object_log_write(&level_text, &message, &fields);
}

// Methods that concern other objects and clients.
static bool others(const char *method, string line, bytes *ret, failure *err, bool *known) {
  bytes payload = {line.ptr, line.len};
  if (!strcmp(method, "relay")) {
    request r = request_of(line);
    return wasmverse_object_objects_call(&r, ret, err);
  }
  if (!strcmp(method, "relay_within")) {
    object_tuple2_string_string_t timeout = {borrowed("timeout"), until(&line, ' ')};
    request r = request_of(line);
    r.options = (wasmverse_object_types_pairs_t){&timeout, 1};
    return wasmverse_object_objects_call(&r, ret, err);
  }
  if (!strcmp(method, "relay_many")) return relay_many(line, ret);
  if (!strcmp(method, "send")) {
    request r = request_of(line);
    return wasmverse_object_objects_send(&r, err);
  }
  object_ref ref = ref_of(line);
  if (!strcmp(method, "make")) return wasmverse_object_objects_create(&ref, err);
  if (!strcmp(method, "unmake")) return wasmverse_object_objects_delete(&ref, err);
  if (!strcmp(method, "there")) {
    bool there;
    if (!wasmverse_object_objects_exists(&ref, &there, err)) return false;
    buffer b = {0};
    put(&b, there ? "true" : "false");
    return answer(ret, b);
  }
  string event = borrowed("shout");
  if (!strcmp(method, "shout") || !strcmp(method, "peek"))
    return wasmverse_object_clients_broadcast(&event, &payload, err);
  if (!strcmp(method, "whisper")) {
    string to = until(&line, ' ');
    object_list_string_t list = {&to, 1};
    event = borrowed("whisper");
    payload = (bytes){line.ptr, line.len};
    return wasmverse_object_clients_push(&list, &event, &payload, err);
  }
  *known = false;
  return true;
}

static bool turn(const char *method, bytes *payload, bytes *ret, failure *err) {
  buffer b = {0};
  int64_t number;
  string text = {payload->ptr, payload->len};
  if (!strcmp(method, "echo")) {
    put_bytes(&b, payload->ptr, payload->len);
    return answer(ret, b);
  }
  if (!strcmp(method, "add")) {
    if (!read_number(payload, &number)) return fail(err, "invalid-argument", "", "not a number");
    value += number;
    put_number(&b, value);
    return answer(ret, b);
  }
  if (!strcmp(method, "value")) {
    put_number(&b, value);
    return answer(ret, b);
  }
  if (!strcmp(method, "me")) {
    put(&b, me);
    return answer(ret, b);
  }
  if (!strcmp(method, "fail")) {
    fail(err, "", "out-of-stock", "the shelf is empty");
    put_bytes(&b, payload->ptr, payload->len);
    err->details = (bytes){b.ptr, b.len};
    err->retry_after_millis = 250;
    err->attributes.ptr = malloc(sizeof *err->attributes.ptr);
    err->attributes.len = 1;
    *err->attributes.ptr = (object_tuple2_string_string_t){owned("shelf"), owned("7")};
    return false;
  }
  if (!strcmp(method, "pretend")) {
    fail(err, "", "", "not what the platform says");
    object_string_dup_n(&err->kind, (char *)payload->ptr, payload->len);
    return false;
  }
  if (!strcmp(method, "note")) {
    note(text, "warn", true);
    return true;
  }
  if (!strcmp(method, "now")) {
    put_number(&b, wasmverse_object_system_now_micros());
    return answer(ret, b);
  }
  if (!strcmp(method, "random")) {
    if (!read_number(payload, &number)) return fail(err, "invalid-argument", "", "not a number");
    wasmverse_object_system_random_bytes(number, ret);
    return true;
  }
  if (!strcmp(method, "who")) return who(ret);
  if (!strcmp(method, "storage")) return try_storage(ret);
  if (!strcmp(method, "reminders")) return try_reminders(ret);
  if (!strcmp(method, "crash")) __builtin_trap();
  bool known = true;
  bool well = others(method, text, ret, err, &known);
  return known ? well : fail(err, "", "no-such-method", "no such method");
}

// ---- exports ----

#define WRITE(name) "{\"name\":\"" name "\"},"
#define READ_ONLY(name) "{\"name\":\"" name "\",\"mode\":\"read-only\"}"

void exports_wasmverse_object_guest_describe(string *ret) {
  object_string_dup(
      ret, "{\"type\":\"GoldenC\",\"encoding\":\"bytes\",\"methods\":["
      WRITE("add") WRITE("fail") WRITE("pretend") WRITE("relay") WRITE("relay_within")
      WRITE("relay_many") WRITE("send") WRITE("make") WRITE("unmake") WRITE("there")
      WRITE("shout") WRITE("whisper") WRITE("note") WRITE("now") WRITE("random") WRITE("who")
      WRITE("storage") WRITE("reminders") WRITE("crash")
      READ_ONLY("echo") "," READ_ONLY("value") "," READ_ONLY("me") "," READ_ONLY("peek") "]}");
}

bool exports_wasmverse_object_guest_activate(object_ref *object,
                                             exports_wasmverse_object_guest_state_t *state,
                                             failure *err) {
  size_t type_length = object->type_name.len, id_length = object->id.len;
  if (type_length + id_length + 2 > sizeof me) return fail(err, "", "too-long", "a long name");
  memcpy(me, object->type_name.ptr, type_length);
  me[type_length] = '/';
  memcpy(me + type_length + 1, object->id.ptr, id_length);
  me[type_length + 1 + id_length] = 0;
  bool well = true;
  if (state && state->schema != 1) {
    well = fail(err, "", "unknown-schema", "written by another schema");
  } else if (state && !read_number(&state->data, &value)) {
    well = fail(err, "invalid-argument", "", "not a number");
  }
  if (state) wasmverse_object_types_state_free(state);
  wasmverse_object_types_object_ref_free(object);
  return well;
}

bool exports_wasmverse_object_guest_handle(string *method, bytes *payload, bytes *ret,
                                           failure *err) {
  char name[32] = {0};
  if (method->len < sizeof name) memcpy(name, method->ptr, method->len);
  *ret = (bytes){NULL, 0};
  bool well = turn(name, payload, ret, err);
  object_string_free(method);
  object_list_u8_free(payload);
  return well;
}

bool exports_wasmverse_object_guest_snapshot(exports_wasmverse_object_guest_state_t *ret,
                                             failure *err) {
  (void)err;
  buffer b = {0};
  put_number(&b, value);
  ret->schema = 1;
  ret->data = (bytes){b.ptr, b.len};
  return true;
}

void exports_wasmverse_object_guest_deactivate(string *why) {
  buffer b = {0};
  put(&b, "leaving: ");
  put_string(&b, why);
  note((string){b.ptr, b.len}, "info", false);
  free(b.ptr);
  object_string_free(why);
}
