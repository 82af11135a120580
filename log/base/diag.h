/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What the operator reads: one logfmt line per event on stderr, UTC, or one JSON object
 * (diag_set_json).
 *   ts=2025-03-01T12:00:00.000Z level=info event=segment_roll topic=orders partition=0 ...
 * `event` is a fixed snake_case word; `fmt` gives further key=value pairs already in logfmt form,
 * values with spaces in double quotes (diag_quote). Thread-safe. Rate limited per event: at most 10
 * lines per second, the rest counted and reported.
 */
#include "bytes.h"

enum diag_level { DIAG_DEBUG, DIAG_INFO, DIAG_WARN, DIAG_ERROR };

void diag(enum diag_level level, const char *event, const char *fmt, ...) PRINTF(3, 4);
void diag_set_level(enum diag_level min_level);
void diag_set_json(bool on);
/*
 * Tests: lines (without newline) go to `sink` instead of stderr, one at a time; NULL restores
 * stderr. Must not call diag.
 */
void diag_set_sink(void (*sink)(void *ctx, const char *line), void *ctx);
/*
 * Writes `s` as a logfmt value into buf (quoted and escaped where needed), always NUL-terminated;
 * returns buf.
 */
const char *diag_quote(char *buf, size_t len, struct str s);
