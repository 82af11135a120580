/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cluster id: 16 random bytes in URL-safe base64, as Kafka makes them, kept in the internal
 * topic
 * __kappa_cluster so that it stays with the data.
 */
#include "broker/kafka/server.h"

enum { CLUSTER_ID_LEN = 22 };

struct found {
	char *id;
};

static enum err apply(
    void *ctx, int32_t partition, struct bytes key, struct bytes value, int64_t timestamp_ms)
{
	struct found *found = ctx;
	(void)partition;
	(void)timestamp_ms;
	if (!bytes_equal(key, str_bytes(STR("cluster.id"))) || !value.ptr)
		return ERR_OK;
	if (value.len != CLUSTER_ID_LEN)
		return err_note(ERR_CORRUPT, "cluster id of %zu bytes", value.len);
	mem_free(found->id);
	found->id = mem_strdup(bytes_str(value));
	return found->id ? ERR_OK : ERR_NOMEM;
}

static void make_id(struct io *io, char id[CLUSTER_ID_LEN])
{
	static const char digits[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	uint8_t random[CLUSTER_ID_LEN];
	io_random(io, random, sizeof(random));
	/* 21 digits of 6 bits and one of 2: the 128 bits of a UUID */
	for (size_t i = 0; i < CLUSTER_ID_LEN; i++)
		id[i] = digits[i + 1 < CLUSTER_ID_LEN ? random[i] % 64 : random[i] % 4 * 16];
	if (id[0] == '-') /* it may end up on a command line */
		id[0] = 'A';
}

enum err cluster_id_open(struct broker *b)
{
	static const struct log_table_ops ops = {.apply = apply};
	struct log_table *table;
	struct found found = {NULL};
	enum err err = ERR_OK;
	if (b->options.cluster_id)
		return ERR_OK;
	TRY(log_table_open(b->log, STR("__kappa_cluster"), 1, &ops, &found, &table));
	if (!found.id) {
		char id[CLUSTER_ID_LEN];
		make_id(b->io, id);
		struct log_row row = {str_bytes(STR("cluster.id")), bytes_of(id, sizeof(id))};
		err = log_table_put_wait(table, 0, &row, 1);
	}
	log_table_close(table);
	if (err == ERR_OK)
		b->options.cluster_id = found.id;
	else
		mem_free(found.id);
	return err;
}
