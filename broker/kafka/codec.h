/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Kafka messages as data: structs and field tables are generated from schema/ (see gen.mk); the
 * functions here walk the tables. One decoder, one encoder, one printer, one comparison for all
 * messages and versions.
 *
 * In memory: a nullable string, bytes or array is null when its pointer is NULL, a nullable
 * structure is a pointer. What a version does not have holds its default after decoding and is left
 * out when encoding. Strings, bytes and records are borrowed from the buffer decoded; arrays and
 * nullable structures live in the arena. Any thread: nothing is shared.
 */
#include "broker/kafka/messages.h"

enum msg_type {
	MSG_BOOL,
	MSG_I8,
	MSG_I16,
	MSG_I32,
	MSG_I64,
	MSG_F64, /* big-endian IEEE 754 */
	MSG_UUID,
	MSG_STRING,
	MSG_BYTES,
	MSG_RECORDS, /* one slice */
	MSG_SLICES,  /* struct msg_slices: sent one after the other, without copying */
	MSG_STRUCT,
};

struct msg_field {
	const char *name;
	const struct msg_shape *shape; /* MSG_STRUCT */
	int64_t default_number;
	uint16_t offset;
	uint8_t type;
	bool array;
	bool default_null;
	bool is_error;             /* an error code: not 0 is counted */
	int8_t from, to;           /* versions that have the field */
	int8_t null_from, null_to; /* versions in which it may be null; from > to: none */
	int8_t tag;                /* -1: an ordinary field */
};

/* A structure: the body of a message or an element of one. */
struct msg_shape {
	const char *name;
	const struct msg_field *fields;
	uint16_t field_count;
	uint16_t size; /* of the C struct */
};

struct msg_api {
	const char *name;
	int16_t key;     /* -1: the key or value of a record, not a request */
	int8_t min, max; /* versions the table covers */
	int8_t flexible; /* first flexible version, 127 = never */
	const struct msg_shape *request, *response;
};
extern const struct msg_api msg_apis[];
extern const size_t msg_api_count;

/* NULL when the table has no such request. */
const struct msg_api *msg_api_find(int16_t key);
/* By name, for data as well: "Produce", "OffsetCommitValue". */
const struct msg_api *msg_api_by_name(const char *name);

/* What is encoded or decoded: shape, version, and whether that version is flexible. */
struct msg_form {
	const struct msg_shape *shape;
	int16_t version;
	bool flexible;
};
static inline struct msg_form msg_request_form(const struct msg_api *api, int16_t version)
{
	return (struct msg_form){api->request, version, version >= api->flexible};
}
static inline struct msg_form msg_response_form(const struct msg_api *api, int16_t version)
{
	return (struct msg_form){api->response, version, version >= api->flexible};
}

/* Sets every field to its default: call before filling in a response. */
void msg_init(const struct msg_shape *shape, void *ret_message);
/* `count` initialised elements in the arena, never NULL-and-ok for count 0; NULL when the arena is
 * exhausted. */
void *msg_new_array(const struct msg_shape *shape, size_t count, struct arena *arena);

/* Memory a decoder may take for `received` bytes (I8). Use it as the arena's limit. */
static inline size_t msg_arena_limit(size_t received)
{
	return 4 * received + 64 * KIB;
}
/*
 * Reads one structure from `r` into *ret_message (form.shape->size bytes). Errors: INVALID_REQUEST
 * (truncated, count over what is left, null where none is allowed, bad tags), LIMIT (arena).
 * *ret_message may be half written on failure. Bytes may be left in `r`: a whole message is checked
 * by the caller.
 */
MUST_USE enum err msg_decode(
    struct msg_form form, struct reader *r, struct arena *arena, void *ret_message);

/* ---- encoding: bytes and borrowed slices in between ------------------------------------------ */
struct msg_splice {
	size_t at; /* stands before writer byte `at` */
	struct bytes bytes;
};
struct msg_out {
	struct writer w;
	struct msg_splice *splices; /* in order of `at` */
	size_t splice_count, splice_capacity;
	size_t splice_bytes;
	bool has_error; /* an error code other than 0 was written */
	bool copy;      /* tests, files: slices are copied into the writer instead */
};
void msg_out_init(struct msg_out *out, size_t limit);
void msg_out_release(struct msg_out *out);
static inline size_t msg_out_len(const struct msg_out *out)
{
	return out->w.len + out->splice_bytes;
}
/* Appends the message. Slices are borrowed until the output has been sent. Errors: LIMIT, NOMEM. */
MUST_USE enum err msg_encode(struct msg_form form, const void *message, struct msg_out *out);

/* ---- people and tests ------------------------------------------------------------------------ */
/* One JSON object on one line; bytes as hex up to 64 of them, records as their length. */
void msg_print(struct msg_form form, const void *message, struct writer *out);
/* True when both say the same in this version. */
bool msg_equal(struct msg_form form, const void *a, const void *b);

/* ---- for the functions above ----------------------------------------------------------------- */
static inline bool msg_field_in(const struct msg_field *f, int16_t version)
{
	return version >= f->from && version <= f->to;
}
static inline bool msg_field_nullable(const struct msg_field *f, int16_t version)
{
	return version >= f->null_from && version <= f->null_to;
}
/* Layout shared by all generated arrays. */
struct msg_array {
	void *at;
	uint32_t count;
};
/* Bytes of one element in memory. */
size_t msg_type_size(const struct msg_field *f);
/* True when a field holds its default (tagged fields are then left out). */
bool msg_field_is_default(const struct msg_field *f, const void *message);
