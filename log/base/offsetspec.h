/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * OFFSETSPEC: the one grammar for places and ranges in a log, used by consume, replay, reset,
 * rebuild and export.
 *
 *   start | beginning      the oldest record            s@MS            from a time, unix
 * milliseconds (kcat) end                    behind the newest            e@MS            up to a
 * time, unix milliseconds (kcat) stored                 the group's committed offset @TIME from a
 * time N                      an offset, in each partition @TIME:TIME      between two times -N N
 * before the end             @TIME:end       from a time to the end of today's log +N N behind the
 * start           FROM:TO         either may be empty: N:M, start:end, :end
 *
 * TIME is RFC 3339 with a zone (2025-03-01T12:00:00Z), unix milliseconds, or relative to now
 * (-1h30m; units ms s m h d w). A time without a zone is refused, and the error says so. Ends of
 * ranges are exclusive. Pure functions: any thread.
 */
#include "bytes.h"

enum offset_kind {
	OFFSET_NONE, /* the side was not given */
	OFFSET_START,
	OFFSET_END,
	OFFSET_STORED,
	OFFSET_AT,          /* value: the offset */
	OFFSET_BEFORE_END,  /* value: records before the end, >= 0 */
	OFFSET_AFTER_START, /* value: records behind the start, >= 0 */
	OFFSET_TIME,        /* value: unix milliseconds */
};
struct offset_point {
	enum offset_kind kind;
	int64_t value;
};
struct offset_spec {
	struct offset_point from, to;
};
/* `now_ms` anchors relative times. ERR_INVALID; the chain says what was expected, and where. */
MUST_USE enum err offset_spec_parse(struct str text, int64_t now_ms, struct offset_spec *ret_spec);
/* One place, no range: for --from, --to and `group reset --to`. "@TIME" and "TIME" in RFC 3339 mean
 * the same here. */
MUST_USE enum err offset_point_parse(
    struct str text, int64_t now_ms, struct offset_point *ret_point);
/* RFC 3339 with a zone, or unix milliseconds, or (relative to now_ms) -DURATION: the TIME above. */
MUST_USE enum err time_parse(struct str text, int64_t now_ms, int64_t *ret_ms);
/* 90s, 1h30m, 250ms, 7d, 2w; "0" needs no unit. Not negative. */
MUST_USE enum err duration_parse(struct str text, int64_t *ret_ns);
