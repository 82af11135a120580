/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The text of the catalog's rows (catalog.h lists them): names are keys of the table, values are
 * lines `key=value`. A reader takes the keys it knows and ignores others, so that a newer server
 * may add some.
 */
#include "log/catalog.h"
#include "log/topic_config.h"

enum row_kind { ROW_UNKNOWN, ROW_TOPIC, ROW_PARTITION, ROW_TRASH, ROW_GAP };
struct row_name {
	enum row_kind kind;
	struct str topic;   /* TOPIC */
	struct log_uuid id; /* the others */
	int32_t partition;  /* PARTITION, GAP */
	int64_t from;       /* GAP */
};
/* Kind UNKNOWN when it is none of the known ones: a newer server's row, kept as it is. */
struct row_name row_name_parse(struct bytes key);
void row_name_write(struct writer *w, const struct row_name *name);

struct topic_row {
	struct log_uuid id;
	int32_t partitions;
	struct topic_settings settings;
};
void topic_row_write(struct writer *w, const struct topic_row *row);
/*
 * ERR_CORRUPT. The caller releases ret_row->settings. A configuration key this version does not
 * know is left out, with a warning.
 */
MUST_USE enum err topic_row_parse(struct bytes value, struct topic_row *ret_row);

struct trash_row {
	struct str name; /* parse: points into the value */
	int32_t partitions;
};
void trash_row_write(struct writer *w, const struct trash_row *row);
MUST_USE enum err trash_row_parse(struct bytes value, struct trash_row *ret_row);

/* log_start and leader_epoch of a struct catalog_partition_row. */
void partition_row_write(struct writer *w, const struct catalog_partition_row *row);
MUST_USE enum err partition_row_parse(
    struct bytes value, int64_t *ret_log_start, uint32_t *ret_leader_epoch);
void gap_row_write(struct writer *w, const struct catalog_partition_row *row);
/* The end of the offsets that it names. ERR_CORRUPT. */
MUST_USE enum err gap_row_to(struct bytes value, int64_t *ret_to);
/* The sequences that it names; 0 and 0: it names offsets only. ERR_CORRUPT. */
MUST_USE enum err gap_row_parse(
    struct bytes value, uint64_t *ret_first_sequence, uint64_t *ret_last_sequence);
