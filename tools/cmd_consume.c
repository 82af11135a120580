/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kappa consume: records of a topic to stdout, from a place to a place. Without --follow it ends
 * where the partitions ended when it started; with -G it reads as a member of a consumer group,
 * commits what it has written, and ends when it has been at the end of each partition it has.
 */
#include "tools/commands.h"
#include "tools/kclient.h"
#include "tools/record_format.h"

enum { FLUSH_BYTES = 64 * 1024, IDLE_POLL_MS = 100 };

struct consume {
	struct cli *cli;
	rd_kafka_t *rk;
	rd_kafka_topic_partition_list_t *at; /* where each partition starts */
	rd_kafka_topic_partition_list_t
	    *end; /* exclusive ends; NULL = follow, or a group's member */
	/* of a group's member: offsets behind what was printed, partitions seen to their end */
	rd_kafka_topic_partition_list_t *printed, *ended;
	struct offset_spec spec;
	const char *format;
	int64_t count_max, count;
	int open; /* partitions that have not reached their end */
	struct writer out;
	bool broken_pipe;
	bool done; /* a group's member that does not follow has seen every end */
};

static enum err list_partitions(struct consume *c, int64_t only)
{
	const struct rd_kafka_metadata *md;
	TRY(kclient_topic(c->rk, c->cli->args[0], &md));
	const struct rd_kafka_metadata_topic *t = &md->topics[0];
	c->at = rd_kafka_topic_partition_list_new(t->partition_cnt);
	for (int i = 0; i < t->partition_cnt; i++)
		if (only < 0 || only == t->partitions[i].id)
			rd_kafka_topic_partition_list_add(
			    c->at, c->cli->args[0], t->partitions[i].id);
	rd_kafka_metadata_destroy(md);
	if (c->at->cnt == 0)
		return err_note(ERR_UNKNOWN_TOPIC, "topic %s has no partition %lld",
		    c->cli->args[0], (long long)only);
	return ERR_OK;
}

/* A partition is closed once: its end becomes 0, which no record stands before. */
static void close_partition(struct consume *c, rd_kafka_topic_partition_t *end)
{
	c->open--;
	end->offset = 0;
}

static enum err assign(struct consume *c)
{
	if (!cli_has(c->cli, "follow") || c->spec.to.kind != OFFSET_NONE) {
		struct offset_point to = c->spec.to.kind == OFFSET_NONE
		                             ? (struct offset_point){OFFSET_END, 0}
		                             : c->spec.to;
		c->end = rd_kafka_topic_partition_list_copy(c->at);
		TRY(kclient_resolve(c->rk, to, c->end));
	}
	TRY(kclient_resolve(c->rk, c->spec.from, c->at));
	c->open = c->at->cnt;
	for (int i = 0; c->end && i < c->at->cnt; i++)
		if (c->at->elems[i].offset >= c->end->elems[i].offset)
			close_partition(c, &c->end->elems[i]);
	rd_kafka_resp_err_t e = rd_kafka_assign(c->rk, c->at);
	return e ? kclient_err(e, NULL) : ERR_OK;
}

static enum err subscribe(struct consume *c)
{
	rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
	rd_kafka_topic_partition_list_add(topics, c->cli->args[0], RD_KAFKA_PARTITION_UA);
	rd_kafka_resp_err_t e = rd_kafka_subscribe(c->rk, topics);
	rd_kafka_topic_partition_list_destroy(topics);
	c->printed = rd_kafka_topic_partition_list_new(1);
	c->ended = rd_kafka_topic_partition_list_new(1);
	return e ? kclient_err(e, NULL) : ERR_OK;
}

static rd_kafka_topic_partition_t *entry_of(
    rd_kafka_topic_partition_list_t *list, const rd_kafka_message_t *m)
{
	const char *topic = rd_kafka_topic_name(m->rkt);
	rd_kafka_topic_partition_t *entry =
	    rd_kafka_topic_partition_list_find(list, topic, m->partition);
	return entry ? entry : rd_kafka_topic_partition_list_add(list, topic, m->partition);
}

/* False when the reader has gone. What has been written out may be committed, not before. */
static bool flush(struct consume *c)
{
	if (!cli_flush(&c->out))
		return false;
	if (c->printed && c->printed->cnt > 0) {
		/* fails for partitions that another member has by now, and commits those itself */
		(void)rd_kafka_offsets_store(c->rk, c->printed);
		rd_kafka_topic_partition_list_destroy(c->printed);
		c->printed = rd_kafka_topic_partition_list_new(1);
	}
	return true;
}

/* Every partition that this member has now, and it has some, was read to its end. */
static bool all_ended(struct consume *c)
{
	rd_kafka_topic_partition_list_t *mine = NULL;
	if (rd_kafka_assignment(c->rk, &mine) != RD_KAFKA_RESP_ERR_NO_ERROR)
		return false;
	bool all = mine->cnt > 0;
	for (int i = 0; i < mine->cnt; i++)
		all = all && rd_kafka_topic_partition_list_find(
		                 c->ended, mine->elems[i].topic, mine->elems[i].partition);
	rd_kafka_topic_partition_list_destroy(mine);
	return all;
}

/* False when the record stands at or behind the end of its partition. */
static bool before_end(struct consume *c, const rd_kafka_message_t *m)
{
	if (!c->end)
		return true;
	rd_kafka_topic_partition_t *end =
	    rd_kafka_topic_partition_list_find(c->end, rd_kafka_topic_name(m->rkt), m->partition);
	if (!end || m->offset >= end->offset)
		return false;
	if (m->offset + 1 == end->offset)
		close_partition(c, end);
	return true;
}

static void print_record(struct consume *c, const rd_kafka_message_t *m)
{
	if (c->format)
		record_format_write(&c->out, c->format, m);
	else if (c->cli->json)
		record_json_write(&c->out, m);
	else
		record_format_write(&c->out, "%v\\n", m);
	c->count++;
	if (c->printed)
		entry_of(c->printed, m)->offset = m->offset + 1;
	if (c->out.len >= FLUSH_BYTES && !flush(c))
		c->broken_pipe = true;
}

static bool more(const struct consume *c)
{
	return !kclient_interrupted() && !c->broken_pipe &&
	       (c->count_max < 0 || c->count < c->count_max) && (!c->end || c->open > 0) &&
	       !c->done;
}

/* A bounded read can end before the last offset when that was a control batch or was compacted
 * away. */
static void check_position(struct consume *c, const rd_kafka_message_t *m)
{
	if (c->ended && !cli_has(c->cli, "follow")) {
		(void)entry_of(c->ended, m);
		c->done = all_ended(c);
	}
	if (!c->end)
		return;
	rd_kafka_topic_partition_t *end =
	    rd_kafka_topic_partition_list_find(c->end, rd_kafka_topic_name(m->rkt), m->partition);
	if (end && end->offset > 0 && m->offset >= end->offset)
		close_partition(c, end);
}

static enum err consume_loop(struct consume *c)
{
	enum err e = ERR_OK;
	while (e == ERR_OK && more(c)) {
		rd_kafka_message_t *m = rd_kafka_consumer_poll(c->rk, IDLE_POLL_MS);
		if (!m) {
			if (!flush(c))
				break;
			continue;
		}
		if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
			check_position(c, m);
		else if (m->err)
			e = kclient_err(m->err, rd_kafka_message_errstr(m));
		else if (before_end(c, m))
			print_record(c, m);
		rd_kafka_message_destroy(m);
	}
	if (!flush(c) && e == ERR_OK && !c->broken_pipe && !cli_reader_gone())
		e = err_sys("write to standard output");
	return e;
}

static enum err consume_run(struct consume *c, int64_t partition)
{
	const char *group = cli_get(c->cli, "group", NULL);
	const char *pairs[] = {"group.id", group ? group : "kappa-consume", "enable.auto.commit",
	    group ? "true" : "false", "enable.auto.offset.store", "false", "auto.offset.reset",
	    c->spec.from.kind == OFFSET_END ? "latest" : "earliest", "enable.partition.eof", "true",
	    "allow.auto.create.topics", "false", "fetch.wait.max.ms", "100", NULL};
	TRY(kclient_new(c->cli, RD_KAFKA_CONSUMER, pairs, &c->rk));
	rd_kafka_poll_set_consumer(c->rk);
	TRY(list_partitions(c, partition));
	TRY(group ? subscribe(c) : assign(c));
	TRY(consume_loop(c));
	rd_kafka_consumer_close(c->rk);
	return ERR_OK;
}

static enum exit_code parse(struct consume *c, int64_t *partition)
{
	struct cli *cli = c->cli;
	if (!cli_number(cli, "count", 0, &c->count_max) ||
	    !cli_number(cli, "partition", 0, partition))
		return EXIT_USAGE;
	if (cli->csv)
		return cli_usage(cli, "--csv is for tables; records come by -f FORMAT or --json");
	if (cli_has(cli, "where"))
		return cli_fail(ERR_NOT_YET, NULL, "consume --where");
	enum err e =
	    offset_spec_parse(str_of(cli_get(cli, "offset", "start")), kclient_now_ms(), &c->spec);
	if (e == ERR_OK && c->format)
		e = record_format_check(c->format);
	return e == ERR_OK ? EXIT_OK : cli_fail(e, NULL, "consume %s", cli->args[0]);
}

enum exit_code cmd_consume(struct cli *cli)
{
	struct consume c = {.cli = cli, .count_max = -1, .format = cli_get(cli, "format", NULL)};
	int64_t partition = -1;
	enum exit_code exit = parse(&c, &partition);
	if (exit != EXIT_OK)
		return exit;
	cli->json |= cli_has(cli, "ndjson");
	writer_init(&c.out, 256 * MIB);
	kclient_catch_signals();
	enum err e = consume_run(&c, partition);
	writer_release(&c.out);
	if (c.at)
		rd_kafka_topic_partition_list_destroy(c.at);
	if (c.end)
		rd_kafka_topic_partition_list_destroy(c.end);
	if (c.printed)
		rd_kafka_topic_partition_list_destroy(c.printed);
	if (c.ended)
		rd_kafka_topic_partition_list_destroy(c.ended);
	if (c.rk)
		rd_kafka_destroy(c.rk);
	if (e != ERR_OK)
		return cli_fail(e, NULL, "consume %s", cli->args[0]);
	return kclient_interrupted() ? EXIT_INTERRUPTED : EXIT_OK;
}
