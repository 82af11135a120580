/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/kclient.h"
#include <signal.h>
#include <stdlib.h>
#include <time.h>

enum { ERRSTR = 512 };

static volatile sig_atomic_t interrupted;

static void on_signal(int sig)
{
	(void)sig;
	interrupted = 1;
}

void kclient_catch_signals(void)
{
	struct sigaction a = {.sa_handler = on_signal};
	sigaction(SIGINT, &a, NULL);
	sigaction(SIGTERM, &a, NULL);
}

bool kclient_interrupted(void)
{
	return interrupted != 0;
}

int64_t kclient_now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

enum err kclient_err(rd_kafka_resp_err_t e, const char *text)
{
	static const struct {
		rd_kafka_resp_err_t kafka;
		enum err err;
	} own[] = {
	    {RD_KAFKA_RESP_ERR__TRANSPORT, ERR_CONNECT},
	    {RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN, ERR_CONNECT},
	    {RD_KAFKA_RESP_ERR__RESOLVE, ERR_CONNECT},
	    {RD_KAFKA_RESP_ERR__TIMED_OUT, ERR_TIMEOUT},
	    {RD_KAFKA_RESP_ERR__MSG_TIMED_OUT, ERR_TIMEOUT},
	    {RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC, ERR_UNKNOWN_TOPIC},
	    {RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION, ERR_UNKNOWN_TOPIC},
	    {RD_KAFKA_RESP_ERR__INVALID_ARG, ERR_INVALID},
	};
	if (e == RD_KAFKA_RESP_ERR_NO_ERROR)
		return ERR_OK;
	enum err code = err_from_kafka((int16_t)e);
	for (size_t i = 0; i < sizeof own / sizeof *own; i++)
		if (own[i].kafka == e)
			code = own[i].err;
	return err_note(code, "%s", text && *text ? text : rd_kafka_err2str(e));
}

static enum err set(rd_kafka_conf_t *conf, const char *key, const char *value)
{
	char text[ERRSTR];
	if (rd_kafka_conf_set(conf, key, value, text, sizeof text) == RD_KAFKA_CONF_OK)
		return ERR_OK;
	return err_note(ERR_INVALID, "%s", text);
}

/* "key=value" in place; the text is the caller's to free. */
static enum err set_pair(rd_kafka_conf_t *conf, const char *pair)
{
	char key[128];
	const char *equals = strchr(pair, '=');
	if (!equals || equals == pair || (size_t)(equals - pair) >= sizeof key)
		return err_note(ERR_INVALID, "'%s': key=value is expected", pair);
	memcpy(key, pair, (size_t)(equals - pair));
	key[equals - pair] = 0;
	return set(conf, key, equals + 1);
}

static enum err set_file(rd_kafka_conf_t *conf, const char *path)
{
	FILE *f = fopen(path, "re");
	if (!f)
		return err_sys("open %s", path);
	char *line = NULL;
	size_t capacity = 0;
	ssize_t len;
	enum err e = ERR_OK;
	while (e == ERR_OK && (len = getline(&line, &capacity, f)) > 0) {
		while (len > 0 &&
		       (line[len - 1] == '\n' || line[len - 1] == '\r' || line[len - 1] == ' '))
			line[--len] = 0;
		if (len > 0 && line[0] != '#')
			e = set_pair(conf, line);
	}
	free(line);
	fclose(f);
	return e;
}

static void quiet_log(const rd_kafka_t *rk, int level, const char *fac, const char *buf)
{
	(void)rk;
	if (getenv("KAPPA_DEBUG"))
		fprintf(stderr, "librdkafka: %d %s %s\n", level, fac, buf);
}

static enum err configure(rd_kafka_conf_t *conf, const struct cli *cli, const char *const *pairs)
{
	rd_kafka_conf_set_log_cb(conf, quiet_log);
	TRY(set(conf, "bootstrap.servers", cli_bootstrap(cli)));
	TRY(set(conf, "client.id", "kappa"));
	TRY(set(conf, "broker.address.family", "v4"));
	for (; pairs && pairs[0]; pairs += 2)
		TRY(set(conf, pairs[0], pairs[1]));
	const char *given;
	for (int i = 0; (given = cli_nth(cli, "properties-file", i)); i++)
		TRY(set_file(conf, given));
	for (int i = 0; (given = cli_nth(cli, "property", i)); i++)
		TRY(set_pair(conf, given));
	return ERR_OK;
}

/* Takes conf. */
static enum err create(rd_kafka_type_t type, rd_kafka_conf_t *conf, rd_kafka_t **ret_rk)
{
	char text[ERRSTR];
	rd_kafka_t *rk = rd_kafka_new(type, conf, text, sizeof text);
	if (!rk) {
		rd_kafka_conf_destroy(conf);
		return err_note(ERR_INVALID, "%s", text);
	}
	*ret_rk = rk;
	return ERR_OK;
}

static enum err configured(
    const struct cli *cli, const char *const *pairs, rd_kafka_conf_t **ret_conf)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	enum err e = configure(conf, cli, pairs);
	if (e != ERR_OK)
		rd_kafka_conf_destroy(conf);
	else
		*ret_conf = conf;
	return e;
}

enum err kclient_new(
    const struct cli *cli, rd_kafka_type_t type, const char *const *pairs, rd_kafka_t **ret_rk)
{
	rd_kafka_conf_t *conf = NULL;
	TRY(configured(cli, pairs, &conf));
	return create(type, conf, ret_rk);
}

enum err kclient_new_producer(const struct cli *cli, const char *const *pairs,
    void (*on_delivery)(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque), void *opaque,
    rd_kafka_t **ret_rk)
{
	rd_kafka_conf_t *conf = NULL;
	TRY(configured(cli, pairs, &conf));
	rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
	rd_kafka_conf_set_opaque(conf, opaque);
	return create(RD_KAFKA_PRODUCER, conf, ret_rk);
}

enum err kclient_topics(rd_kafka_t *rk, const struct rd_kafka_metadata **ret_md)
{
	rd_kafka_resp_err_t e = rd_kafka_metadata(rk, 1, NULL, ret_md, KCLIENT_TIMEOUT_MS);
	return e ? kclient_err(e, NULL) : ERR_OK;
}

/* Through the list of all topics, because asking for one by name may create it. */
enum err kclient_topic(rd_kafka_t *rk, const char *topic, const struct rd_kafka_metadata **ret_md)
{
	const struct rd_kafka_metadata *md;
	TRY(kclient_topics(rk, &md));
	bool found = false;
	for (int i = 0; i < md->topic_cnt; i++)
		found |= strcmp(md->topics[i].topic, topic) == 0;
	rd_kafka_metadata_destroy(md);
	if (!found)
		return err_note(ERR_UNKNOWN_TOPIC, "there is no topic %s", topic);
	rd_kafka_topic_t *handle = rd_kafka_topic_new(rk, topic, NULL);
	if (!handle)
		return kclient_err(rd_kafka_last_error(), NULL);
	rd_kafka_resp_err_t e = rd_kafka_metadata(rk, 0, handle, ret_md, KCLIENT_TIMEOUT_MS);
	rd_kafka_topic_destroy(handle);
	return e ? kclient_err(e, NULL) : ERR_OK;
}

static int64_t clip(int64_t value, int64_t low, int64_t high)
{
	return value < low ? low : value > high ? high : value;
}

static enum err resolve_time(rd_kafka_t *rk, int64_t time_ms, rd_kafka_topic_partition_list_t *list)
{
	for (int i = 0; i < list->cnt; i++)
		list->elems[i].offset = time_ms < 0 ? 0 : time_ms;
	rd_kafka_resp_err_t e = rd_kafka_offsets_for_times(rk, list, KCLIENT_TIMEOUT_MS);
	if (e)
		return kclient_err(e, NULL);
	for (int i = 0; i < list->cnt; i++) {
		rd_kafka_topic_partition_t *p = &list->elems[i];
		int64_t low, high;
		if (p->err)
			return kclient_err(p->err, NULL);
		if (p->offset >= 0)
			continue;
		e = rd_kafka_query_watermark_offsets(
		    rk, p->topic, p->partition, &low, &high, KCLIENT_TIMEOUT_MS);
		if (e)
			return kclient_err(e, NULL);
		p->offset = high;
	}
	return ERR_OK;
}

enum err kclient_resolve(
    rd_kafka_t *rk, struct offset_point place, rd_kafka_topic_partition_list_t *list)
{
	if (place.kind == OFFSET_STORED)
		return err_note(ERR_INVALID, "'stored' needs a consumer group");
	if (place.kind == OFFSET_TIME)
		return resolve_time(rk, place.value, list);
	for (int i = 0; i < list->cnt; i++) {
		rd_kafka_topic_partition_t *p = &list->elems[i];
		int64_t low, high;
		rd_kafka_resp_err_t e = rd_kafka_query_watermark_offsets(
		    rk, p->topic, p->partition, &low, &high, KCLIENT_TIMEOUT_MS);
		if (e)
			return kclient_err(e, NULL);
		p->offset = place.kind == OFFSET_AT            ? clip(place.value, low, high)
		            : place.kind == OFFSET_BEFORE_END  ? clip(high - place.value, low, high)
		            : place.kind == OFFSET_AFTER_START ? clip(low + place.value, low, high)
		            : place.kind == OFFSET_END         ? high
		                                               : low;
	}
	return ERR_OK;
}

enum err kclient_admin_wait(
    rd_kafka_queue_t *queue, rd_kafka_event_type_t type, rd_kafka_event_t **ret_event)
{
	rd_kafka_event_t *event = rd_kafka_queue_poll(queue, 2 * KCLIENT_TIMEOUT_MS);
	if (!event)
		return err_note(ERR_TIMEOUT, "no answer from the broker");
	rd_kafka_resp_err_t e = rd_kafka_event_error(event);
	if (!e && rd_kafka_event_type(event) == type) {
		*ret_event = event;
		return ERR_OK;
	}
	enum err mapped =
	    kclient_err(e ? e : RD_KAFKA_RESP_ERR__FAIL, rd_kafka_event_error_string(event));
	rd_kafka_event_destroy(event);
	return mapped;
}
