/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kappa topic alter: more partitions, other configuration, by the Kafka protocol. What can make
 * the broker delete records (a shorter retention, another cleanup policy) is a plan until
 * --execute. librdkafka 2.0 knows AlterConfigs only, which replaces a topic's whole set: the keys
 * not named are read first and sent again, so two such commands at once can undo each other.
 */
#include "log/base/json_write.h"
#include "tools/commands.h"
#include "tools/topic_admin.h"

enum { CHANGES_MAX = CLI_OPTIONS_MAX };

struct change {
	struct str key;
	const char *from, *to; /* to NULL = the broker's default */
	bool loses;
};
struct alter {
	struct cli *cli;
	rd_kafka_t *rk;
	struct topic_configs configs;
	int64_t partitions, partitions_now; /* partitions 0 = as they are */
	struct change changes[CHANGES_MAX];
	size_t count;
};

/* ---- what would change ----------------------------------------------------------------------- */

/* -1 keeps for ever; what is no number is for the broker to refuse. */
static bool keeps_less(const char *from, const char *to)
{
	int64_t a, b;
	if (!str_to_i64(str_of(from), &a) || !str_to_i64(str_of(to), &b))
		return false;
	return b >= 0 && (a < 0 || b < a);
}

static bool loses(const struct change *c)
{
	bool retention =
	    str_equal(c->key, STR("retention.ms")) || str_equal(c->key, STR("retention.bytes"));
	if (!retention && !str_equal(c->key, STR("cleanup.policy")))
		return false;
	if (!c->to || !c->from)
		return true; /* the default is not known here */
	return retention ? keeps_less(c->from, c->to) : strcmp(c->from, c->to) != 0;
}

static enum err add_change(struct alter *a, struct str key, const char *to)
{
	const rd_kafka_ConfigEntry_t *entry = topic_configs_find(&a->configs, key);
	if (!entry)
		return err_note(ERR_INVALID,
		    "there is no topic key " STR_FMT "; kappa topic describe lists them",
		    STR_ARG(key));
	for (size_t i = 0; i < a->count; i++)
		if (str_equal(a->changes[i].key, key))
			return err_note(ERR_INVALID, STR_FMT " is named twice", STR_ARG(key));
	struct change *c = &a->changes[a->count++];
	*c = (struct change){.key = key, .from = rd_kafka_ConfigEntry_value(entry), .to = to};
	c->loses = loses(c);
	return ERR_OK;
}

static enum err collect(struct alter *a)
{
	const char *text;
	for (int i = 0; (text = cli_nth(a->cli, "config", i)); i++) {
		const char *equals = strchr(text, '=');
		if (!equals || equals == text)
			return err_note(ERR_INVALID, "-c '%s': key=value is expected", text);
		TRY(add_change(a, str_from(text, (size_t)(equals - text)), equals + 1));
	}
	for (int i = 0; (text = cli_nth(a->cli, "default", i)); i++)
		TRY(add_change(a, str_of(text), NULL));
	if (a->partitions && a->partitions <= a->partitions_now)
		return err_note(ERR_REFUSED, "there are %lld partitions; they can only be added to",
		    (long long)a->partitions_now);
	return ERR_OK;
}

/* ---- the plan -------------------------------------------------------------------------------- */

static void write_change(
    struct alter *a, struct writer *w, struct str key, const char *const *from_to, bool loses)
{
	struct json_writer j;
	if (a->cli->json) {
		json_write_init(&j, w);
		json_object_begin(&j);
		json_key_str(&j, "topic", str_of(a->cli->args[0]));
		json_key_str(&j, "key", key);
		json_key_str(&j, "from", from_to[0] ? str_of(from_to[0]) : (struct str){0});
		json_key_str(&j, "to", from_to[1] ? str_of(from_to[1]) : (struct str){0});
		json_key(&j, STR("loses_data"));
		json_bool(&j, loses);
		json_object_end(&j);
		write_u8(w, '\n');
		return;
	}
	write_str(w, key);
	write_printf(w, ": %s -> %s%s\n", from_to[0] ? from_to[0] : "(unset)",
	    from_to[1] ? from_to[1] : "(the default)", loses ? "; may delete records" : "");
}

/* Every change as one line; true when one of them can lose records. */
static bool write_plan(struct alter *a, struct writer *w)
{
	bool loses = false;
	if (a->partitions) {
		char from[24], to[24];
		snprintf(from, sizeof from, "%lld", (long long)a->partitions_now);
		snprintf(to, sizeof to, "%lld", (long long)a->partitions);
		write_change(a, w, STR("partitions"), (const char *const[]){from, to}, false);
	}
	for (size_t i = 0; i < a->count; i++) {
		const struct change *c = &a->changes[i];
		write_change(a, w, c->key, (const char *const[]){c->from, c->to}, c->loses);
		loses |= c->loses;
	}
	return loses;
}

/* ---- doing it -------------------------------------------------------------------------------- */

static bool is_changed(const struct alter *a, const char *key)
{
	for (size_t i = 0; i < a->count; i++)
		if (str_equal(a->changes[i].key, str_of(key)))
			return true;
	return false;
}

static enum err write_configs(struct alter *a)
{
	rd_kafka_ConfigResource_t *wanted =
	    rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, a->cli->args[0]);
	rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR_NO_ERROR;
	for (size_t i = 0; !code && i < a->configs.count; i++) {
		const rd_kafka_ConfigEntry_t *entry = a->configs.entries[i];
		const char *key = rd_kafka_ConfigEntry_name(entry);
		if (rd_kafka_ConfigEntry_source(entry) ==
		        RD_KAFKA_CONFIG_SOURCE_DYNAMIC_TOPIC_CONFIG &&
		    !is_changed(a, key))
			code = rd_kafka_ConfigResource_set_config(
			    wanted, key, rd_kafka_ConfigEntry_value(entry));
	}
	for (size_t i = 0; !code && i < a->count; i++) {
		char key[160];
		snprintf(key, sizeof key, STR_FMT, STR_ARG(a->changes[i].key));
		if (a->changes[i].to)
			code = rd_kafka_ConfigResource_set_config(wanted, key, a->changes[i].to);
	}
	enum err e = code ? kclient_err(code, NULL) : topic_configs_write(a->rk, wanted);
	rd_kafka_ConfigResource_destroy(wanted);
	return e;
}

static enum err alter(struct alter *a, struct writer *w, bool *ret_refused)
{
	const struct rd_kafka_metadata *md;
	const char *name = a->cli->args[0];
	TRY(kclient_new(a->cli, RD_KAFKA_PRODUCER, NULL, &a->rk));
	TRY(kclient_topic(a->rk, name, &md));
	a->partitions_now = md->topics[0].partition_cnt;
	rd_kafka_metadata_destroy(md);
	TRY(topic_configs_read(a->rk, name, &a->configs));
	TRY(collect(a));
	*ret_refused = write_plan(a, w) && !cli_has(a->cli, "execute");
	if (!cli_flush(w))
		return ERR_IO;
	if (*ret_refused)
		return ERR_OK;
	if (a->partitions)
		TRY(topic_admin_grow(a->rk, name, (int)a->partitions));
	return a->count ? write_configs(a) : ERR_OK;
}

enum exit_code cmd_topic_alter(struct cli *cli)
{
	struct alter a = {.cli = cli};
	struct writer w;
	bool refused = false;
	if (!cli_number(cli, "partitions", 1, &a.partitions))
		return EXIT_USAGE;
	if (a.partitions > TOPIC_PARTITIONS_MAX)
		return cli_usage(cli, "at most %d partitions", TOPIC_PARTITIONS_MAX);
	if (!a.partitions && !cli_has(cli, "config") && !cli_has(cli, "default"))
		return cli_usage(cli, "nothing to change: -p, -c or --default is needed");
	writer_init(&w, MIB);
	enum err e = alter(&a, &w, &refused);
	writer_release(&w);
	topic_configs_release(&a.configs);
	if (a.rk)
		rd_kafka_destroy(a.rk);
	if (e != ERR_OK)
		return cli_fail(e, NULL, "alter topic %s", cli->args[0]);
	if (refused)
		fprintf(stderr, "plan only: nothing was done; --execute does it\n");
	return refused ? EXIT_REFUSED : EXIT_OK;
}
