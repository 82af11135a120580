/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A whole commit log (log_open: engine and catalog) in a directory of its own, for tests of what
 * lies above the engine. Calls wait for their answer by turning the loop. Assertions of cmocka fail
 * the test.
 */
#include "log/batch.h"
#include "log/log.h"
#include "test/lib/test.h"

struct log_server {
	struct io *io;
	struct loop *loop;
	struct log *log;
	struct log_options options;
	char *dir;
};
void log_server_init(struct log_server *s);
void log_server_release(struct log_server *s); /* closes first if open */
void log_server_open(struct log_server *s);
void log_server_close(struct log_server *s);
void log_server_restart(struct log_server *s);
/* Its directory, which is another one then, is what is on disk at this moment, as after kill -9. */
void log_server_kill(struct log_server *s);
/* And it starts again. */
void log_server_crash(struct log_server *s);
/* A copy of the directory as it is now, as kill -9 would leave it; tempdir_remove. */
char *log_server_copy(const struct log_server *s);
void log_server_turn(struct log_server *s);

/*
 * One change of the catalog. configs: "key=value" texts, NULL-terminated, may be NULL. message may
 * be NULL.
 */
enum err log_server_change(struct log_server *s, enum log_topic_op op, const char *name,
    int partitions, const char *const *configs, struct log_topic_req *ret_req);
struct log_uuid log_server_create(
    struct log_server *s, const char *name, int partitions, const char *const *configs);
const struct log_topic *log_server_topic(const struct log_server *s, const char *name);
/* Appends one batch of one record; its offset. */
int64_t log_server_append(
    struct log_server *s, const char *topic, int partition, const char *value);
enum err log_server_try_append(
    struct log_server *s, const char *topic, int partition, const char *value, int64_t *ret_offset);
/* The value of the record at `offset`, as text in a static buffer; NULL when out of range. */
const char *log_server_read(struct log_server *s, const char *topic, int partition, int64_t offset);
/* The same with the error of the read. */
enum err log_server_try_read(
    struct log_server *s, const char *topic, int partition, int64_t offset, const char **ret_value);
struct log_partition_status log_server_status(
    struct log_server *s, const char *topic, int partition);
