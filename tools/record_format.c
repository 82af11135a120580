/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/record_format.h"
#include "log/base/json.h"
#include "log/base/json_write.h"
#include <time.h>

static const char strftime_open[] = "{strftime[";

/* Length of "{strftime[...]}" at `at`, 0 when it is not there. */
static size_t strftime_len(const char *at)
{
	if (strncmp(at, strftime_open, sizeof strftime_open - 1) != 0)
		return 0;
	const char *end = strstr(at, "]}");
	return end ? (size_t)(end - at) + 2 : 0;
}

enum err record_format_check(const char *format)
{
	for (const char *p = format; *p; p++) {
		if (*p == '\\' && !(p[1] && strchr("ntr\\0", p[1])))
			return err_note(
			    ERR_INVALID, "-f: \\%c is not known (\\n \\t \\r \\\\ \\0)", p[1]);
		if (*p == '%' && !(p[1] && strchr("tpokvsShd%", p[1])))
			return err_note(ERR_INVALID,
			    "-f: %%%c is not known (%%t %%p %%o %%k %%v %%s %%S %%h %%d %%%%)",
			    p[1]);
		bool form = *p == '%' && p[1] == 'd' && p[2] == '{';
		if (form && !strftime_len(p + 2))
			return err_note(ERR_INVALID, "-f: %%d{strftime[FORMAT]} is expected");
		if (form)
			p += 1 + strftime_len(p + 2);
		else if (*p == '%' || *p == '\\')
			p++;
	}
	return ERR_OK;
}

static void write_time(struct writer *w, const char *form, size_t form_len, int64_t ms)
{
	char format[128], text[256];
	size_t skip = sizeof strftime_open - 1;
	snprintf(format, sizeof format, "%.*s", (int)(form_len - skip - 2), form + skip);
	time_t seconds = (time_t)(ms / 1000 - (ms % 1000 < 0));
	struct tm tm;
	if (gmtime_r(&seconds, &tm)) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* the user's own format is the point */
		size_t n = strftime(text, sizeof text, format, &tm);
#pragma GCC diagnostic pop
		write_bytes(w, bytes_of(text, n));
	}
}

/* Calls fn for each header in order. */
static void each_header(const rd_kafka_message_t *m,
    void (*fn)(void *ctx, size_t i, const char *name, struct bytes value), void *ctx)
{
	rd_kafka_headers_t *headers;
	const char *name;
	const void *value;
	size_t len;
	if (rd_kafka_message_headers(m, &headers))
		return;
	for (size_t i = 0; !rd_kafka_header_get_all(headers, i, &name, &value, &len); i++)
		fn(ctx, i, name, (struct bytes){value, len});
}

static void write_plain_header(void *ctx, size_t i, const char *name, struct bytes value)
{
	struct writer *w = ctx;
	write_printf(w, "%s%s=", i ? "," : "", name);
	write_bytes(w, value.ptr ? value : bytes_of("", 0));
}

static void write_bytes_or_nothing(struct writer *w, const void *ptr, size_t len)
{
	if (ptr)
		write_bytes(w, bytes_of(ptr, len));
}

/* One %x; returns how many further characters of the format it took. */
static size_t write_field(struct writer *w, const char *at, const rd_kafka_message_t *m)
{
	size_t form;
	switch (*at) {
	case 't':
		write_cstr(w, rd_kafka_topic_name(m->rkt));
		return 0;
	case 'p':
		write_printf(w, "%d", m->partition);
		return 0;
	case 'o':
		write_printf(w, "%lld", (long long)m->offset);
		return 0;
	case 'k':
		write_bytes_or_nothing(w, m->key, m->key_len);
		return 0;
	case 'v':
	case 's':
		write_bytes_or_nothing(w, m->payload, m->len);
		return 0;
	case 'S':
		write_printf(w, "%lld", m->payload ? (long long)m->len : -1LL);
		return 0;
	case 'h':
		each_header(m, write_plain_header, w);
		return 0;
	case 'd':
		form = strftime_len(at + 1);
		if (form)
			write_time(w, at + 1, form, rd_kafka_message_timestamp(m, NULL));
		else
			write_printf(w, "%lld", (long long)rd_kafka_message_timestamp(m, NULL));
		return form;
	default:
		write_u8(w, '%');
		return 0;
	}
}

void record_format_write(struct writer *w, const char *format, const rd_kafka_message_t *m)
{
	for (const char *p = format; *p; p++) {
		if (*p == '%') {
			p++;
			p += write_field(w, p, m);
		} else if (*p == '\\') {
			p++;
			write_u8(w, (uint8_t)(*p == 'n'   ? '\n'
			                      : *p == 't' ? '\t'
			                      : *p == 'r' ? '\r'
			                      : *p == '0' ? 0
			                                  : '\\'));
		} else {
			write_u8(w, (uint8_t)*p);
		}
	}
}

/* "NAME": text, or "NAME_base64" where the bytes are not UTF-8. */
static void write_text(struct json_writer *j, const char *name, struct bytes b)
{
	if (!b.ptr || str_is_utf8(bytes_str(b))) {
		json_key_str(j, name, bytes_str(b));
		return;
	}
	char key[64];
	snprintf(key, sizeof key, "%s_base64", name);
	json_key(j, str_of(key));
	json_base64(j, b);
}

static void write_json_header(void *ctx, size_t i, const char *name, struct bytes value)
{
	struct json_writer *j = ctx;
	(void)i;
	json_object_begin(j);
	json_key_str(j, "key", str_of(name));
	write_text(j, "value", value);
	json_object_end(j);
}

void record_json_write(struct writer *w, const rd_kafka_message_t *m)
{
	struct json_writer j;
	struct bytes value = {m->payload, m->len};
	json_write_init(&j, w);
	json_object_begin(&j);
	json_key_str(&j, "topic", str_of(rd_kafka_topic_name(m->rkt)));
	json_key_i64(&j, "partition", m->partition);
	json_key_i64(&j, "offset", m->offset);
	json_key_i64(&j, "timestamp", rd_kafka_message_timestamp(m, NULL));
	write_text(&j, "key", (struct bytes){m->key, m->key_len});
	if (!value.ptr) {
		json_key(&j, STR("value"));
		json_null(&j);
	} else if (json_is_valid(bytes_str(value)) && str_is_utf8(bytes_str(value)) &&
	           !memchr(value.ptr, '\n', value.len)) {
		json_key(&j, STR("value"));
		json_raw(&j, bytes_str(value));
	} else {
		json_key(&j, STR("value_base64"));
		json_base64(&j, value);
	}
	json_key(&j, STR("headers"));
	json_array_begin(&j);
	each_header(m, write_json_header, &j);
	json_array_end(&j);
	json_object_end(&j);
	write_u8(w, '\n');
}
