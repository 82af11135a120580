/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A line is built on the caller's stack and leaves in one write(2), so lines of several threads
 * never mix. The lock covers the rate table, the sink and the write.
 */
#include "diag.h"

#include "limits.h"
#include "thread.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { PAIRS_BYTES = 3840, LINE_BYTES = 8192, EVENTS_MAX = 256, LINES_PER_SECOND = 10 };

struct rate {
	char event[48];
	int64_t second; /* monotonic */
	unsigned lines; /* in this second */
	uint64_t suppressed;
};

static struct mutex mutex = {PTHREAD_MUTEX_INITIALIZER};
static struct rate rates[EVENTS_MAX];
static unsigned rate_count;
static void (*sink_fn)(void *ctx, const char *line);
static void *sink_ctx;
/*
 * relaxed: read on each call, set at start or by a test; a line more or less around the change is
 * harmless
 */
static unsigned min_level = DIAG_INFO;
static bool json;

static const char *const level_names[] = {"debug", "info", "warn", "error"};

void diag_set_level(enum diag_level level)
{
	__atomic_store_n(&min_level, (unsigned)level, __ATOMIC_RELAXED);
}

void diag_set_json(bool on)
{
	mutex_lock(&mutex);
	json = on;
	mutex_unlock(&mutex);
}

void diag_set_sink(void (*sink)(void *ctx, const char *line), void *ctx)
{
	mutex_lock(&mutex);
	sink_fn = sink;
	sink_ctx = ctx;
	rate_count = 0;
	mutex_unlock(&mutex);
}

/* ---- quoting --------------------------------------------------------------------------------- */

/*
 * True when `s` read back bare would be the same text in logfmt and a string, not a number, in
 * JSON.
 */
static bool is_plain(struct str s)
{
	bool letter = false;
	for (size_t i = 0; i < s.len; i++) {
		char c = s.ptr[i];
		bool alpha =
		    (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '/';
		letter |= alpha;
		if (!alpha && !(c >= '0' && c <= '9') && !strchr("-.:+@,;%~#*", c))
			return false;
		if (c == '\0')
			return false;
	}
	return letter && !str_equal(s, STR("true")) && !str_equal(s, STR("false")) &&
	       !str_equal(s, STR("null"));
}

/* Bytes of the character at `s`: 1 for one that needs an escape or is malformed. */
static size_t char_len(struct str s)
{
	uint8_t lead = (uint8_t)s.ptr[0];
	size_t len = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
	if (len > s.len || !str_is_utf8((struct str){s.ptr, len}))
		return 1;
	return len;
}

/* The quoted form of one character in `out` (8 bytes); returns its length, advances *s. */
static size_t quote_char(struct str *s, char *out)
{
	size_t len = char_len(*s);
	uint8_t c = (uint8_t)s->ptr[0];
	bool c1_control = len == 2 && c == 0xC2 && (uint8_t)s->ptr[1] < 0xA0;
	size_t n;
	if (c == '"' || c == '\\') {
		out[0] = '\\';
		out[1] = (char)c;
		n = 2;
	} else if (c == '\n' || c == '\t' || c == '\r') {
		out[0] = '\\';
		out[1] = c == '\n' ? 'n' : c == '\t' ? 't' : 'r';
		n = 2;
	} else if (c < 0x20 || c == 0x7F) {
		n = (size_t)snprintf(out, 8, "\\u%04x", (unsigned)c);
	} else if (c1_control) {
		n = (size_t)snprintf(out, 8, "\\u%04x", (unsigned)(uint8_t)s->ptr[1]);
	} else if (c >= 0x80 && len == 1) {
		n = (size_t)snprintf(out, 8, "\\ufffd");
	} else {
		memcpy(out, s->ptr, len);
		n = len;
	}
	s->ptr += len;
	s->len -= len;
	return n;
}

const char *diag_quote(char *buf, size_t len, struct str s)
{
	if (len == 0)
		return "";
	if (is_plain(s) && s.len < len) {
		memcpy(buf, s.ptr, s.len);
		buf[s.len] = '\0';
		return buf;
	}
	if (len < 3) {
		buf[0] = '\0';
		return buf;
	}
	size_t at = 0;
	buf[at++] = '"';
	while (s.len > 0) {
		char one[8];
		size_t n = quote_char(&s, one);
		if (at + n + 2 > len)
			break;
		memcpy(buf + at, one, n);
		at += n;
	}
	buf[at++] = '"';
	buf[at] = '\0';
	return buf;
}

/* ---- lines ----------------------------------------------------------------------------------- */

struct line {
	char text[LINE_BYTES];
	size_t len;
	bool full; /* something did not fit */
};

static void line_add(struct line *l, const char *text, size_t len)
{
	size_t room = LINE_BYTES - 1 - l->len;
	if (len > room) {
		len = room;
		l->full = true;
	}
	memcpy(l->text + l->len, text, len);
	l->len += len;
	l->text[l->len] = '\0';
}

static void line_add_cstr(struct line *l, const char *text)
{
	line_add(l, text, strlen(text));
}

/* The end of the value at `p`: behind the closing quote, or at the next space. */
static const char *value_end(const char *p)
{
	if (*p != '"') {
		while (*p && *p != ' ')
			p++;
		return p;
	}
	for (p++; *p && *p != '"'; p++) {
		if (*p == '\\' && p[1])
			p++;
	}
	return *p ? p + 1 : p;
}

static bool is_json_scalar(struct str s)
{
	int64_t number;
	bool leading_zero = s.len > 1 && (s.ptr[0] == '0' || (s.ptr[0] == '-' && s.ptr[1] == '0'));
	return (str_to_i64(s, &number) && !leading_zero) || str_equal(s, STR("true")) ||
	       str_equal(s, STR("false")) || str_equal(s, STR("null"));
}

/*
 * Rewrites logfmt pairs as members of a JSON object. Quoted values have the same escapes in both.
 */
static void line_add_json_pairs(struct line *l, const char *p)
{
	while (*p) {
		while (*p == ' ')
			p++;
		const char *key = p;
		while (*p && *p != '=' && *p != ' ')
			p++;
		if (p == key)
			break;
		line_add_cstr(l, ",\"");
		line_add(l, key, (size_t)(p - key));
		line_add_cstr(l, "\":");
		struct str value = {NULL, 0};
		if (*p == '=') {
			const char *end = value_end(++p);
			value = str_from(p, (size_t)(end - p));
			p = end;
		}
		bool quoted =
		    value.len >= 2 && value.ptr[0] == '"' && value.ptr[value.len - 1] == '"';
		char buf[PAIRS_BYTES];
		if (value.len == 0)
			line_add_cstr(l, "true");
		else if (quoted || is_json_scalar(value))
			line_add(l, value.ptr, value.len);
		else if (is_plain(value)) {
			line_add_cstr(l, "\"");
			line_add(l, value.ptr, value.len);
			line_add_cstr(l, "\"");
		} else
			line_add_cstr(l, diag_quote(buf, sizeof(buf), value));
	}
}

static void line_head(struct line *l, enum diag_level level, const char *event)
{
	struct timespec now;
	struct tm tm;
	char ts[64];
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	size_t n = strftime(ts, sizeof(ts), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(ts + n, sizeof(ts) - n, ".%03ldZ", now.tv_nsec / 1000000);
	const char *const logfmt[] = {"ts=", " level=", " event=", ""};
	const char *const object[] = {"{\"ts\":\"", "\",\"level\":\"", "\",\"event\":\"", "\""};
	const char *const *part = json ? object : logfmt;
	line_add_cstr(l, part[0]);
	line_add_cstr(l, ts);
	line_add_cstr(l, part[1]);
	line_add_cstr(l, level_names[level]);
	line_add_cstr(l, part[2]);
	line_add_cstr(l, event);
	line_add_cstr(l, part[3]);
}

/* With the lock held: builds one line from `pairs` and sends it. */
static void emit(enum diag_level level, const char *event, const char *pairs)
{
	struct line l;
	l.len = 0;
	l.full = false;
	line_head(&l, level, event);
	size_t head = l.len;
	if (json) {
		line_add_json_pairs(&l, pairs);
		/* half an object helps nobody */
		if (l.full)
			l.len = head;
		line_add_cstr(&l, l.full ? ",\"truncated\":true}" : "}");
	} else if (*pairs) {
		line_add_cstr(&l, " ");
		line_add_cstr(&l, pairs);
	}
	if (sink_fn) {
		sink_fn(sink_ctx, l.text);
		return;
	}
	size_t len = l.len; /* the newline takes the NUL's place */
	l.text[len++] = '\n';
	/* nowhere to report that stderr is gone */
	ssize_t ignored = write(STDERR_FILENO, l.text, len);
	(void)ignored;
}

static struct rate *rate_of(const char *event)
{
	for (unsigned i = 0; i < rate_count; i++) {
		if (strncmp(rates[i].event, event, sizeof(rates[i].event) - 1) == 0)
			return &rates[i];
	}
	if (rate_count == EVENTS_MAX)
		return NULL;
	struct rate *r = &rates[rate_count++];
	*r = (struct rate){.lines = 0};
	snprintf(r->event, sizeof(r->event), "%s", event);
	return r;
}

/* Seconds that are over tell how many lines they dropped, whatever event comes next. */
static void report_suppressed(int64_t second)
{
	for (unsigned i = 0; i < rate_count; i++) {
		struct rate *r = &rates[i];
		if (r->suppressed == 0 || r->second == second)
			continue;
		char pairs[64];
		snprintf(
		    pairs, sizeof(pairs), "suppressed=%llu", (unsigned long long)r->suppressed);
		r->suppressed = 0;
		emit(DIAG_WARN, r->event, pairs);
	}
}

static bool rate_allows(const char *event)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	report_suppressed(now.tv_sec);
	struct rate *r = rate_of(event);
	if (!r)
		return true;
	if (r->second != now.tv_sec) {
		r->second = now.tv_sec;
		r->lines = 0;
	}
	if (r->lines == LINES_PER_SECOND) {
		r->suppressed++;
		return false;
	}
	r->lines++;
	return true;
}

void diag(enum diag_level level, const char *event, const char *fmt, ...)
{
	if ((unsigned)level < __atomic_load_n(&min_level, __ATOMIC_RELAXED))
		return;
	char pairs[PAIRS_BYTES];
	va_list ap;
	va_start(ap, fmt);
	int len = vsnprintf(pairs, sizeof(pairs), fmt, ap);
	va_end(ap);
	if (len < 0)
		pairs[0] = '\0';
	/* one event is one line, and no terminal obeys what a client sent */
	for (char *p = pairs; *p; p++) {
		if ((unsigned char)*p < 0x20 || *p == 0x7F)
			*p = ' ';
	}
	mutex_lock(&mutex);
	if (rate_allows(event))
		emit(level, event, pairs);
	mutex_unlock(&mutex);
}
