/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kappa produce: lines of standard input (or of a file) become records. Idempotent, acks=all: a
 * line is counted only after the broker has acknowledged it.
 */
#include "log/base/json.h"
#include "tools/commands.h"
#include "tools/kclient.h"
#include <stdlib.h>

struct produce {
	struct cli *cli;
	rd_kafka_t *rk;
	rd_kafka_topic_t *topic;
	int32_t partition;
	const char *separator;    /* -K: between key and value */
	struct json_paths *paths; /* --key and --timestamp, for --ndjson */
	bool key_given, time_given;
	uint64_t sent, acked, failed;
	enum err first_err;
	char first_text[200];
	struct arena arena;
};

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
	struct produce *p = opaque;
	(void)rk;
	if (!m->err) {
		p->acked++;
		return;
	}
	if (!p->failed++) {
		p->first_err = kclient_err(m->err, NULL);
		snprintf(p->first_text, sizeof p->first_text, "%s", rd_kafka_err2str(m->err));
		err_clear();
	}
}

/* ".a.b" -> "$.a.b", as jq and rpk users write it. */
static struct json_path_spec path_spec(const char *text, char *buf, size_t len)
{
	snprintf(buf, len, "%s%s",
	    text[0] == '.' || text[0] == '[' ? "$"
	    : text[0] == '$'                 ? ""
	                                     : "$.",
	    text);
	return (struct json_path_spec){str_of(buf), true, true};
}

static enum err compile_paths(struct produce *p)
{
	char key[300] = "", time[300] = "";
	const char *key_path = cli_get(p->cli, "key", NULL),
	           *time_path = cli_get(p->cli, "timestamp", NULL);
	p->key_given = key_path != NULL;
	p->time_given = time_path != NULL;
	struct json_path_spec specs[2] = {path_spec(key_path ? key_path : "$.key", key, sizeof key),
	    path_spec(time_path ? time_path : "$.timestamp", time, sizeof time)};
	return json_paths_new(specs, 2, &p->paths);
}

struct line {
	struct str key, value;
	int64_t timestamp_ms; /* 0 = now */
};

static enum err json_time(struct produce *p, struct json_value v, int64_t *ret_ms)
{
	struct str text = v.text;
	if (v.kind == JSON_STRING)
		TRY(json_unescape(&p->arena, v, &text));
	else if (v.kind != JSON_NUMBER)
		return err_note(ERR_BAD_VALUE, "--timestamp: no time at that path");
	return time_parse(text, 0, ret_ms);
}

static enum err split_json(struct produce *p, struct str text, struct line *line)
{
	struct json_value v[2];
	TRY(json_scan(p->paths, text, v));
	line->value = text;
	if (p->key_given && v[0].kind == JSON_STRING)
		TRY(json_unescape(&p->arena, v[0], &line->key));
	else if (p->key_given && v[0].kind != JSON_ABSENT && v[0].kind != JSON_NULL)
		line->key = v[0].text;
	if (p->time_given)
		TRY(json_time(p, v[1], &line->timestamp_ms));
	return ERR_OK;
}

static enum err split_line(struct produce *p, struct str text, struct line *line)
{
	*line = (struct line){.value = text};
	if (p->paths)
		return split_json(p, text, line);
	if (!p->separator)
		return ERR_OK;
	size_t n = strlen(p->separator);
	const char *at = text.len >= n ? memmem(text.ptr, text.len, p->separator, n) : NULL;
	if (!at)
		return err_note(
		    ERR_INVALID, "there is no separator '%s' in the line", p->separator);
	line->key = str_from(text.ptr, (size_t)(at - text.ptr));
	line->value = str_from(at + n, text.len - (size_t)(at - text.ptr) - n);
	return ERR_OK;
}

static enum err send_line(struct produce *p, const struct line *line)
{
	for (;;) {
		/* librdkafka copies (MSG_F_COPY), its prototype is not const */
		union {
			const char *in;
			void *out;
		} value = {.in = line->value.ptr};
		rd_kafka_resp_err_t e = rd_kafka_producev(p->rk, RD_KAFKA_V_RKT(p->topic),
		    RD_KAFKA_V_PARTITION(p->partition), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
		    RD_KAFKA_V_VALUE(value.out, line->value.len),
		    RD_KAFKA_V_KEY(line->key.ptr, line->key.len),
		    RD_KAFKA_V_TIMESTAMP(line->timestamp_ms), RD_KAFKA_V_END);
		if (e != RD_KAFKA_RESP_ERR__QUEUE_FULL)
			return e ? kclient_err(e, NULL) : ERR_OK;
		rd_kafka_poll(p->rk, 100);
		if (kclient_interrupted())
			return err_note(ERR_CANCELLED, "interrupted");
	}
}

static enum err produce_stream(struct produce *p, FILE *in)
{
	char *buf = NULL;
	size_t capacity = 0;
	ssize_t n;
	enum err e = ERR_OK;
	while (e == ERR_OK && !kclient_interrupted() && (n = getline(&buf, &capacity, in)) >= 0) {
		if (n && buf[n - 1] == '\n')
			n--;
		struct line line;
		arena_clear(&p->arena);
		e = split_line(p, str_from(buf, (size_t)n), &line);
		if (e == ERR_OK)
			e = send_line(p, &line);
		if (e != ERR_OK)
			err_note(e, "line %llu", (unsigned long long)p->sent + 1);
		else if (++p->sent % 256 == 0)
			rd_kafka_poll(p->rk, 0);
		if (p->failed)
			break;
	}
	if (e == ERR_OK && ferror(in))
		e = err_sys("read the input");
	free(buf);
	return e;
}

static enum err open_producer(struct produce *p)
{
	struct cli *cli = p->cli;
	const char *pairs[] = {"enable.idempotence", "true", "compression.codec",
	    cli_get(cli, "compression", "none"), "linger.ms", "5", "queue.buffering.max.messages",
	    "200000", "message.timeout.ms", "60000", NULL};
	const struct rd_kafka_metadata *md = NULL;
	TRY(kclient_new_producer(cli, pairs, on_delivery, p, &p->rk));
	enum err e = kclient_topic(p->rk, cli->args[0], &md);
	if (e == ERR_OK)
		rd_kafka_metadata_destroy(md);
	if (e == ERR_UNKNOWN_TOPIC && cli_has(cli, "create")) {
		err_clear();
		e = ERR_OK; /* the broker creates it when asked by name, if it is configured to */
	}
	TRY(e);
	p->topic = rd_kafka_topic_new(p->rk, cli->args[0], NULL);
	return p->topic ? ERR_OK : kclient_err(rd_kafka_last_error(), NULL);
}

static enum err produce_run(struct produce *p)
{
	TRY(open_producer(p));
	const char *path = p->cli->arg_count > 1 ? p->cli->args[1] : "-";
	FILE *in = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	if (!in)
		return err_sys("open %s", path);
	enum err e = produce_stream(p, in);
	if (in != stdin)
		fclose(in);
	rd_kafka_resp_err_t flushed = rd_kafka_flush(p->rk, 60000);
	if (e == ERR_OK && p->failed)
		e = err_note(p->first_err, "%s", p->first_text);
	if (e == ERR_OK && flushed)
		e = kclient_err(flushed, NULL);
	return e;
}

enum exit_code cmd_produce(struct cli *cli)
{
	struct produce p = {.cli = cli,
	    .partition = RD_KAFKA_PARTITION_UA,
	    .separator = cli_get(cli, "key-separator", NULL)};
	int64_t partition = -1;
	if (!cli_number(cli, "partition", 0, &partition))
		return EXIT_USAGE;
	if ((cli_has(cli, "key") || cli_has(cli, "timestamp")) && !cli_has(cli, "ndjson"))
		return cli_usage(cli, "--key and --timestamp need --ndjson");
	if (p.separator && (!*p.separator || cli_has(cli, "ndjson")))
		return cli_usage(cli, "-K needs a separator and goes without --ndjson");
	p.partition = (int32_t)partition;
	arena_init(&p.arena, 256 * MIB);
	kclient_catch_signals();
	enum err e = cli_has(cli, "ndjson") ? compile_paths(&p) : ERR_OK;
	if (e == ERR_OK)
		e = produce_run(&p);
	if (p.topic)
		rd_kafka_topic_destroy(p.topic);
	if (p.rk)
		rd_kafka_destroy(p.rk);
	json_paths_free(p.paths);
	arena_release(&p.arena);
	fprintf(stderr, "produced topic=%s acknowledged=%llu failed=%llu\n", cli->args[0],
	    (unsigned long long)p.acked, (unsigned long long)(p.sent - p.acked));
	if (e != ERR_OK && kclient_interrupted())
		return EXIT_INTERRUPTED;
	if (e != ERR_OK) {
		enum exit_code exit =
		    cli_fail(e, e == ERR_UNKNOWN_TOPIC ? "kappa topic create makes it" : NULL,
		        "produce to %s", cli->args[0]);
		return p.acked && exit == EXIT_FAILED ? EXIT_PARTLY : exit;
	}
	return EXIT_OK;
}
