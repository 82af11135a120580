/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Row answers of the HTTP door on their way to stdout: as they come for --json and --csv, else as
 * an aligned table. The summary line behind the rows (marked RS, 0x1e) is split off.
 */
#include "tools/http_client.h"

struct rows_out {
	const struct cli *cli;
	struct writer pending; /* table: CSV not printed yet */
	struct writer summary;
	bool in_summary;
	size_t *widths;
	size_t column_count;
	bool broken_pipe;
	uint64_t lines;
};
void rows_out_init(struct rows_out *o, const struct cli *cli);
void rows_out_release(struct rows_out *o);
/* "ndjson" or "csv": what to ask for with ?format=. */
const char *rows_out_format(const struct rows_out *o);
/* An http_body. */
bool rows_out_piece(void *ctx, struct bytes piece);
/* Prints what is left. ERR_IO when stdout is gone. */
MUST_USE enum err rows_out_end(struct rows_out *o);
/* One GET to stdout. */
MUST_USE enum err rows_out_get(struct rows_out *o, const char *fmt, ...) PRINTF(2, 3);
