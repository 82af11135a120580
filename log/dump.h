/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * log_dump_file from inside: one line per thing found, as logfmt or as a JSON object with the same
 * keys. A line begins with its kind:
 *
 *   kind=frame pos=4096 length=98 sequence=1 ...
 *   {"kind":"frame","pos":4096,"length":98,"sequence":1,...}
 *
 * What does not verify is a line of kind damage; the dump goes on where it can and ends with
 * ERR_CORRUPT. Any thread, blocking.
 */
#include "log/base/json_write.h"
#include "log/log.h"

struct dump {
	struct io *io;
	const char *path;
	struct log_dump_options options;
	log_print print;
	void *ctx;
	struct writer line;
	struct json_writer json;
	struct writer scratch; /* decompressed records */
	uint64_t damage;       /* lines of that kind */
};

/* ---- one line: begin, any fields, end -------------------------------------------------------- */
void dump_begin(struct dump *d, const char *kind);
void dump_u64(struct dump *d, const char *key, uint64_t v);
void dump_i64(struct dump *d, const char *key, int64_t v);
void dump_bool(struct dump *d, const char *key, bool v);
void dump_str(struct dump *d, const char *key, struct str v);
void dump_hash(struct dump *d, const char *key, uint64_t v); /* 16 hexadecimal digits */
void dump_uuid(struct dump *d, const char *key, struct log_uuid id);
/* As text where it is UTF-8, else as base64 under `key`_base64; null as null. */
void dump_bytes(struct dump *d, const char *key, struct bytes v);
MUST_USE enum err dump_end(struct dump *d);
/* A whole line of kind damage, with this thread's error chain as the reason; clears the chain. */
MUST_USE enum err dump_damage(struct dump *d, uint64_t pos, enum err err);

/* ---- the batch of a frame: with options.deep its header and records -------------------------- */
MUST_USE enum err dump_batch(struct dump *d, struct bytes batch);

/* ---- one per kind of file: fd is open, the first bytes have been recognised ------------------ */
MUST_USE enum err dump_segment(struct dump *d, int fd);
MUST_USE enum err dump_index(struct dump *d, int fd);
MUST_USE enum err dump_snap(struct dump *d);
MUST_USE enum err dump_journal(struct dump *d);
MUST_USE enum err dump_checkpoint(struct dump *d);
