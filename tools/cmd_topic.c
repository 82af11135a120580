/* SPDX-License-Identifier: Apache-2.0 */
/* kappa topic create | list | describe | delete: by the Kafka protocol; ids and sizes by
 * HTTP where kappa answers. */
#include "log/base/json_write.h"
#include "tools/commands.h"
#include "tools/http_client.h"
#include "tools/topic_admin.h"
#include <stdlib.h>

enum { ERRSTR = 512 };

/* ---- create and delete ----------------------------------------------------------------------- */

static enum err add_config(rd_kafka_NewTopic_t *topic, const char *pair)
{
	char key[160];
	const char *equals = strchr(pair, '=');
	if (!equals || equals == pair || (size_t)(equals - pair) >= sizeof key)
		return err_note(ERR_INVALID, "-c '%s': key=value is expected", pair);
	memcpy(key, pair, (size_t)(equals - pair));
	key[equals - pair] = 0;
	rd_kafka_resp_err_t e = rd_kafka_NewTopic_set_config(topic, key, equals + 1);
	return e ? kclient_err(e, NULL) : ERR_OK;
}

static enum err new_topic(const struct cli *cli, int partitions, rd_kafka_NewTopic_t **ret_topic)
{
	char text[ERRSTR];
	rd_kafka_NewTopic_t *t =
	    rd_kafka_NewTopic_new(cli->args[0], partitions, 1, text, sizeof text);
	if (!t)
		return err_note(ERR_INVALID, "%s", text);
	const char *pair;
	for (int i = 0; (pair = cli_nth(cli, "config", i)); i++) {
		enum err e = add_config(t, pair);
		if (e != ERR_OK) {
			rd_kafka_NewTopic_destroy(t);
			return e;
		}
	}
	*ret_topic = t;
	return ERR_OK;
}

enum exit_code cmd_topic_create(struct cli *cli)
{
	int64_t partitions = 1;
	if (!cli_number(cli, "partitions", 1, &partitions))
		return EXIT_USAGE;
	if (partitions > TOPIC_PARTITIONS_MAX)
		return cli_usage(cli, "at most %d partitions", TOPIC_PARTITIONS_MAX);
	rd_kafka_t *rk = NULL;
	rd_kafka_NewTopic_t *topic = NULL;
	enum err e = new_topic(cli, (int)partitions, &topic);
	if (e == ERR_OK)
		e = kclient_new(cli, RD_KAFKA_PRODUCER, NULL, &rk);
	if (e == ERR_OK)
		e = topic_admin_create(rk, topic);
	if (topic)
		rd_kafka_NewTopic_destroy(topic);
	if (rk)
		rd_kafka_destroy(rk);
	if (e == ERR_TOPIC_EXISTS && cli_has(cli, "if-not-exists")) {
		err_clear();
		return EXIT_OK;
	}
	if (e != ERR_OK)
		return cli_fail(e,
		    e == ERR_TOPIC_EXISTS ? "--if-not-exists makes this no error" : NULL,
		    "create topic %s", cli->args[0]);
	cli_next(cli, "kappa produce %s", cli->args[0]);
	return EXIT_OK;
}

/* ---- counting records ------------------------------------------------------------------------ */

/* Records of a topic as end minus start over its partitions. */
static enum err topic_records(
    rd_kafka_t *rk, const struct rd_kafka_metadata_topic *t, int64_t *ret_records)
{
	int64_t sum = 0;
	for (int p = 0; p < t->partition_cnt; p++) {
		int64_t low, high;
		rd_kafka_resp_err_t e = rd_kafka_query_watermark_offsets(
		    rk, t->topic, t->partitions[p].id, &low, &high, KCLIENT_TIMEOUT_MS);
		if (e)
			return kclient_err(e, NULL);
		sum += high - low;
	}
	*ret_records = sum;
	return ERR_OK;
}

enum exit_code cmd_topic_delete(struct cli *cli)
{
	rd_kafka_t *rk = NULL;
	const struct rd_kafka_metadata *md = NULL;
	int64_t records = 0;
	enum err e = kclient_new(cli, RD_KAFKA_PRODUCER, NULL, &rk);
	if (e == ERR_OK)
		e = kclient_topic(rk, cli->args[0], &md);
	if (e == ERR_OK)
		e = topic_records(rk, &md->topics[0], &records);
	bool execute = cli_has(cli, "execute");
	if (e == ERR_OK && !execute)
		printf("plan: delete topic %s with %d partitions and %lld records, for ever\n"
		       "nothing was done; --execute does it\n",
		    cli->args[0], md->topics[0].partition_cnt, (long long)records);
	if (e == ERR_OK && execute)
		e = topic_admin_delete(rk, cli->args[0]);
	if (md)
		rd_kafka_metadata_destroy(md);
	if (rk)
		rd_kafka_destroy(rk);
	if (e != ERR_OK)
		return cli_fail(e, NULL, "delete topic %s", cli->args[0]);
	return execute ? EXIT_OK : EXIT_REFUSED;
}

/* ---- list ------------------------------------------------------------------------------------ */

/* `id` and `bytes` come from kappa's own HTTP door; any other broker leaves them null. */
static void write_topic(
    struct cli *cli, struct writer *w, const struct topic_facts *f, int64_t records)
{
	if (cli->json) {
		struct json_writer j;
		json_write_init(&j, w);
		json_object_begin(&j);
		json_key_str(&j, "name", str_of(f->name));
		json_key_str(&j, "id", f->id[0] ? str_of(f->id) : (struct str){0});
		json_key_i64(&j, "partitions", f->partitions);
		json_key_i64(&j, "records", records);
		json_key(&j, STR("bytes"));
		if (f->bytes < 0)
			json_null(&j);
		else
			json_i64(&j, f->bytes);
		json_object_end(&j);
		write_cstr(w, "\n");
		return;
	}
	char bytes[32] = "";
	if (f->bytes >= 0)
		snprintf(bytes, sizeof bytes, "%lld", (long long)f->bytes);
	if (cli->csv)
		write_printf(w, "%s,%s,%d,%lld,%s\n", f->name, f->id, f->partitions,
		    (long long)records, bytes);
	else
		write_printf(w, "%-40s %5d %14lld %14s\n", f->name, f->partitions,
		    (long long)records, bytes);
}

static int by_name(const void *a, const void *b)
{
	const struct rd_kafka_metadata_topic *const *x = a, *const *y = b;
	return strcmp((*x)->topic, (*y)->topic);
}

static enum err list_topics(
    struct cli *cli, rd_kafka_t *rk, const struct rd_kafka_metadata *md, struct writer *w)
{
	const struct rd_kafka_metadata_topic **sorted =
	    mem_calloc((size_t)md->topic_cnt + 1, sizeof *sorted);
	if (!sorted)
		return ERR_NOMEM;
	for (int i = 0; i < md->topic_cnt; i++)
		sorted[i] = &md->topics[i];
	qsort(sorted, (size_t)md->topic_cnt, sizeof *sorted, by_name);
	if (!cli->json)
		write_cstr(w, cli->csv ? "name,id,partitions,records,bytes\n"
		                       : "NAME                                     PARTS        "
		                         "RECORDS          BYTES\n");
	enum err e = ERR_OK;
	for (int i = 0; e == ERR_OK && i < md->topic_cnt; i++) {
		if (strncmp(sorted[i]->topic, "__", 2) == 0 && !cli_has(cli, "all"))
			continue;
		int64_t records = 0;
		struct topic_facts facts;
		e = topic_records(rk, sorted[i], &records);
		http_topic_facts(cli, sorted[i]->topic, &facts);
		facts.partitions = sorted[i]->partition_cnt;
		if (e == ERR_OK)
			write_topic(cli, w, &facts, records);
	}
	mem_free(sorted);
	return e;
}

enum exit_code cmd_topic_list(struct cli *cli)
{
	rd_kafka_t *rk = NULL;
	const struct rd_kafka_metadata *md = NULL;
	struct writer w;
	writer_init(&w, 256 * MIB);
	enum err e = kclient_new(cli, RD_KAFKA_PRODUCER, NULL, &rk);
	if (e == ERR_OK)
		e = kclient_topics(rk, &md);
	if (e == ERR_OK)
		e = list_topics(cli, rk, md, &w);
	if (e == ERR_OK && !cli_flush(&w))
		e = ERR_IO;
	if (md)
		rd_kafka_metadata_destroy(md);
	if (rk)
		rd_kafka_destroy(rk);
	writer_release(&w);
	return e == ERR_OK ? EXIT_OK : cli_fail(e, NULL, "list topics at %s", cli_bootstrap(cli));
}

/* ---- describe -------------------------------------------------------------------------------- */

static enum err describe_partitions(
    rd_kafka_t *rk, const struct rd_kafka_metadata_topic *t, struct json_writer *j)
{
	json_key(j, STR("partitions"));
	json_array_begin(j);
	for (int p = 0; p < t->partition_cnt; p++) {
		int64_t low, high;
		int32_t id = t->partitions[p].id;
		rd_kafka_resp_err_t e = rd_kafka_query_watermark_offsets(
		    rk, t->topic, id, &low, &high, KCLIENT_TIMEOUT_MS);
		if (e)
			return kclient_err(e, NULL);
		json_object_begin(j);
		json_key_i64(j, "partition", id);
		json_key_i64(j, "leader", t->partitions[p].leader);
		json_key_i64(j, "start", low);
		json_key_i64(j, "end", high);
		json_object_end(j);
	}
	json_array_end(j);
	return ERR_OK;
}

static enum err describe_configs(rd_kafka_t *rk, const char *topic, struct json_writer *j)
{
	struct topic_configs c;
	TRY(topic_configs_read(rk, topic, &c));
	json_key(j, STR("configs"));
	json_object_begin(j);
	for (size_t i = 0; i < c.count; i++) {
		json_key(j, str_of(rd_kafka_ConfigEntry_name(c.entries[i])));
		json_str(j, str_of(rd_kafka_ConfigEntry_value(c.entries[i])));
	}
	json_object_end(j);
	topic_configs_release(&c);
	return ERR_OK;
}

static enum err describe(
    struct cli *cli, rd_kafka_t *rk, const struct rd_kafka_metadata_topic *t, struct writer *w)
{
	struct json_writer j;
	struct topic_facts facts;
	http_topic_facts(cli, t->topic, &facts);
	json_write_init(&j, w);
	json_object_begin(&j);
	json_key_str(&j, "name", str_of(t->topic));
	json_key_str(&j, "id", facts.id[0] ? str_of(facts.id) : (struct str){0});
	TRY(describe_partitions(rk, t, &j));
	TRY(describe_configs(rk, t->topic, &j));
	if (cli_has(cli, "segments")) {
		struct writer segments;
		writer_init(&segments, 256 * MIB);
		enum err e = http_topic_segments(cli, t->topic, &segments);
		if (e == ERR_OK) {
			json_key(&j, STR("segments"));
			json_raw(&j, bytes_str(writer_bytes(&segments)));
		}
		writer_release(&segments);
		TRY(e);
	}
	json_object_end(&j);
	write_cstr(w, "\n");
	return w->err;
}

enum exit_code cmd_topic_describe(struct cli *cli)
{
	rd_kafka_t *rk = NULL;
	const struct rd_kafka_metadata *md = NULL;
	struct writer w;
	writer_init(&w, 256 * MIB);
	enum err e = kclient_new(cli, RD_KAFKA_PRODUCER, NULL, &rk);
	if (e == ERR_OK)
		e = kclient_topic(rk, cli->args[0], &md);
	if (e == ERR_OK)
		e = describe(cli, rk, &md->topics[0], &w);
	if (e == ERR_OK && !cli_flush(&w))
		e = ERR_IO;
	if (md)
		rd_kafka_metadata_destroy(md);
	if (rk)
		rd_kafka_destroy(rk);
	writer_release(&w);
	return e == ERR_OK ? EXIT_OK : cli_fail(e, NULL, "describe topic %s", cli->args[0]);
}
