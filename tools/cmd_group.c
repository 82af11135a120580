/* SPDX-License-Identifier: Apache-2.0 */
/* kappa group list | describe | lag | reset | delete: by the Kafka protocol, so any client's
 * commits are interchangeable. */
#include "log/base/json_write.h"
#include "tools/commands.h"
#include "tools/kclient.h"
#include <unistd.h>

enum { ERRSTR = 512 };

/* What one describe answer says of a group; released with rd_kafka_event_destroy(event). */
struct group {
	rd_kafka_event_t *event;
	const rd_kafka_ConsumerGroupDescription_t *d;
	const char *state;
	const char *protocol;
	size_t members;
};

/* ---- admin calls ----------------------------------------------------------------------------- */

static enum err describe_group(rd_kafka_t *rk, const char *name, struct group *ret_group)
{
	rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
	rd_kafka_event_t *event = NULL;
	rd_kafka_DescribeConsumerGroups(rk, &name, 1, NULL, queue);
	enum err e =
	    kclient_admin_wait(queue, RD_KAFKA_EVENT_DESCRIBECONSUMERGROUPS_RESULT, &event);
	rd_kafka_queue_destroy(queue);
	TRY(e);
	size_t n = 0;
	const rd_kafka_ConsumerGroupDescription_t **all =
	    rd_kafka_DescribeConsumerGroups_result_groups(
	        rd_kafka_event_DescribeConsumerGroups_result(event), &n);
	const rd_kafka_error_t *error = n ? rd_kafka_ConsumerGroupDescription_error(all[0]) : NULL;
	if (n != 1 || error) {
		e = error ? kclient_err(rd_kafka_error_code(error), rd_kafka_error_string(error))
		          : ERR_GROUP_NOT_FOUND;
		rd_kafka_event_destroy(event);
		return e;
	}
	struct group g = {.event = event, .d = all[0]};
	g.state = rd_kafka_consumer_group_state_name(rd_kafka_ConsumerGroupDescription_state(g.d));
	g.protocol = rd_kafka_ConsumerGroupDescription_partition_assignor(g.d);
	g.members = rd_kafka_ConsumerGroupDescription_member_count(g.d);
	if (strcmp(g.state, "Dead") == 0) {
		rd_kafka_event_destroy(event);
		return err_note(ERR_GROUP_NOT_FOUND, "there is no group %s", name);
	}
	*ret_group = g;
	return ERR_OK;
}

/* Committed offsets of a group; `wanted` NULL = all. The caller destroys the list. */
static enum err committed(rd_kafka_t *rk, const char *name,
    const rd_kafka_topic_partition_list_t *wanted, rd_kafka_topic_partition_list_t **ret_list)
{
	rd_kafka_ListConsumerGroupOffsets_t *req =
	    rd_kafka_ListConsumerGroupOffsets_new(name, wanted);
	rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
	rd_kafka_event_t *event = NULL;
	rd_kafka_ListConsumerGroupOffsets(rk, &req, 1, NULL, queue);
	enum err e =
	    kclient_admin_wait(queue, RD_KAFKA_EVENT_LISTCONSUMERGROUPOFFSETS_RESULT, &event);
	rd_kafka_queue_destroy(queue);
	rd_kafka_ListConsumerGroupOffsets_destroy(req);
	TRY(e);
	size_t n = 0;
	const rd_kafka_group_result_t **r = rd_kafka_ListConsumerGroupOffsets_result_groups(
	    rd_kafka_event_ListConsumerGroupOffsets_result(event), &n);
	const rd_kafka_error_t *error = n ? rd_kafka_group_result_error(r[0]) : NULL;
	if (n != 1 || error)
		e = kclient_err(error ? rd_kafka_error_code(error) : RD_KAFKA_RESP_ERR__FAIL, NULL);
	else
		*ret_list =
		    rd_kafka_topic_partition_list_copy(rd_kafka_group_result_partitions(r[0]));
	rd_kafka_event_destroy(event);
	return e;
}

static enum err commit(
    rd_kafka_t *rk, const char *name, const rd_kafka_topic_partition_list_t *offsets)
{
	rd_kafka_AlterConsumerGroupOffsets_t *req =
	    rd_kafka_AlterConsumerGroupOffsets_new(name, offsets);
	rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
	rd_kafka_event_t *event = NULL;
	rd_kafka_AlterConsumerGroupOffsets(rk, &req, 1, NULL, queue);
	enum err e =
	    kclient_admin_wait(queue, RD_KAFKA_EVENT_ALTERCONSUMERGROUPOFFSETS_RESULT, &event);
	rd_kafka_queue_destroy(queue);
	rd_kafka_AlterConsumerGroupOffsets_destroy(req);
	TRY(e);
	size_t n = 0;
	const rd_kafka_group_result_t **r = rd_kafka_AlterConsumerGroupOffsets_result_groups(
	    rd_kafka_event_AlterConsumerGroupOffsets_result(event), &n);
	const rd_kafka_error_t *error = n ? rd_kafka_group_result_error(r[0]) : NULL;
	if (n != 1 || error)
		e = kclient_err(error ? rd_kafka_error_code(error) : RD_KAFKA_RESP_ERR__FAIL, NULL);
	const rd_kafka_topic_partition_list_t *parts =
	    n ? rd_kafka_group_result_partitions(r[0]) : NULL;
	for (int i = 0; e == ERR_OK && parts && i < parts->cnt; i++)
		if (parts->elems[i].err)
			e = kclient_err(parts->elems[i].err, NULL);
	rd_kafka_event_destroy(event);
	return e;
}

/* ---- lag ------------------------------------------------------------------------------------- */

struct lag {
	const char *group;
	const rd_kafka_topic_partition_t *p;
	int64_t end;
	const char *member;
};

/* The member that is assigned the partition, or "". */
static const char *owner_of(const struct group *g, const rd_kafka_topic_partition_t *p)
{
	for (size_t i = 0; i < g->members; i++) {
		const rd_kafka_MemberDescription_t *m =
		    rd_kafka_ConsumerGroupDescription_member(g->d, i);
		const rd_kafka_MemberAssignment_t *a = rd_kafka_MemberDescription_assignment(m);
		const rd_kafka_topic_partition_list_t *parts =
		    a ? rd_kafka_MemberAssignment_partitions(a) : NULL;
		for (int k = 0; parts && k < parts->cnt; k++)
			if (parts->elems[k].partition == p->partition &&
			    strcmp(parts->elems[k].topic, p->topic) == 0)
				return rd_kafka_MemberDescription_consumer_id(m);
	}
	return "";
}

/* Seconds between now and the timestamp of the first record not yet read; 0 without lag, -1
 * unknown. */
static double lag_seconds(rd_kafka_t *consumer, const rd_kafka_topic_partition_t *p, int64_t lag)
{
	if (lag <= 0)
		return 0;
	rd_kafka_topic_partition_list_t *one = rd_kafka_topic_partition_list_new(1);
	rd_kafka_topic_partition_list_add(one, p->topic, p->partition)->offset = p->offset;
	double seconds = -1;
	rd_kafka_assign(consumer, one);
	for (int tries = 0; tries < 50 && seconds < 0; tries++) {
		rd_kafka_message_t *m = rd_kafka_consumer_poll(consumer, 100);
		if (m && !m->err) {
			int64_t ms = kclient_now_ms() - rd_kafka_message_timestamp(m, NULL);
			seconds = ms > 0 ? (double)ms / 1000 : 0;
		}
		if (m)
			rd_kafka_message_destroy(m);
	}
	rd_kafka_assign(consumer, NULL);
	rd_kafka_topic_partition_list_destroy(one);
	return seconds;
}

static void write_lag(struct cli *cli, struct writer *w, const struct lag *l, double seconds)
{
	int64_t lag = l->p->offset < 0 ? l->end : l->end - l->p->offset;
	if (cli->json) {
		struct json_writer j;
		json_write_init(&j, w);
		json_object_begin(&j);
		json_key_str(&j, "group", str_of(l->group));
		json_key_str(&j, "topic", str_of(l->p->topic));
		json_key_i64(&j, "partition", l->p->partition);
		json_key_i64(&j, "committed", l->p->offset);
		json_key_i64(&j, "end", l->end);
		json_key_i64(&j, "lag", lag);
		json_key(&j, STR("lag_seconds"));
		if (seconds < 0)
			json_null(&j);
		else
			json_double(&j, seconds);
		json_key_str(&j, "member", l->member[0] ? str_of(l->member) : (struct str){0});
		json_object_end(&j);
		write_u8(w, '\n');
		return;
	}
	const char *form = cli->csv ? "%s,%s,%d,%lld,%lld,%lld,%.3f,%s\n"
	                            : "%-24s %-24s %5d %12lld %12lld %10lld %10.1f %s\n";
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* one of the two literals above */
	write_printf(w, form, l->group, l->p->topic, l->p->partition, (long long)l->p->offset,
	    (long long)l->end, (long long)lag, seconds, l->member);
#pragma GCC diagnostic pop
}

static void lag_header(struct cli *cli, struct writer *w)
{
	if (!cli->json)
		write_cstr(w, cli->csv
		                  ? "group,topic,partition,committed,end,lag,lag_seconds,member\n"
		                  : "GROUP                    TOPIC                     PART    "
		                    "COMMITTED          END"
		                    "        LAG    SECONDS MEMBER\n");
}

static enum err lag_of(struct cli *cli, rd_kafka_t *rk, const char *name, struct writer *w)
{
	struct group g = {0};
	rd_kafka_topic_partition_list_t *list = NULL;
	TRY(describe_group(rk, name, &g));
	enum err e = committed(rk, name, NULL, &list);
	if (e == ERR_OK)
		rd_kafka_topic_partition_list_sort(list, NULL, NULL);
	for (int i = 0; e == ERR_OK && i < list->cnt; i++) {
		const rd_kafka_topic_partition_t *p = &list->elems[i];
		struct lag l = {.group = name, .p = p, .member = owner_of(&g, p)};
		int64_t low;
		rd_kafka_resp_err_t r = rd_kafka_query_watermark_offsets(
		    rk, p->topic, p->partition, &low, &l.end, KCLIENT_TIMEOUT_MS);
		if (r)
			e = kclient_err(r, NULL);
		else
			write_lag(cli, w, &l, lag_seconds(rk, p, l.end - p->offset));
	}
	if (list)
		rd_kafka_topic_partition_list_destroy(list);
	rd_kafka_event_destroy(g.event);
	return e;
}

static const char *const lag_config[] = {"group.id", "kappa-lag", "enable.auto.commit", "false",
    "auto.offset.reset", "earliest", "fetch.wait.max.ms", "50", NULL};

enum exit_code cmd_group_lag(struct cli *cli)
{
	rd_kafka_t *rk = NULL;
	struct writer w;
	writer_init(&w, 256 * MIB);
	kclient_catch_signals();
	enum err e = kclient_new(cli, RD_KAFKA_CONSUMER, lag_config, &rk);
	do {
		if (e != ERR_OK)
			break;
		lag_header(cli, &w);
		e = lag_of(cli, rk, cli->args[0], &w);
		if (e == ERR_OK && !cli_flush(&w))
			break;
		if (cli_has(cli, "watch"))
			sleep(2);
	} while (e == ERR_OK && cli_has(cli, "watch") && !kclient_interrupted());
	writer_release(&w);
	if (rk)
		rd_kafka_destroy(rk);
	return e == ERR_OK ? EXIT_OK : cli_fail(e, NULL, "lag of group %s", cli->args[0]);
}

/* ---- list and describe ----------------------------------------------------------------------- */

static void write_group(struct cli *cli, struct writer *w, const char *name, const struct group *g)
{
	if (cli->json) {
		struct json_writer j;
		json_write_init(&j, w);
		json_object_begin(&j);
		json_key_str(&j, "group", str_of(name));
		json_key_str(&j, "state", str_of(g->state));
		json_key_str(&j, "protocol", str_of(g->protocol));
		json_key_u64(&j, "members", g->members);
		json_object_end(&j);
		write_u8(w, '\n');
	} else if (cli->csv) {
		write_printf(w, "%s,%s,%s,%zu\n", name, g->state, g->protocol, g->members);
	} else {
		write_printf(
		    w, "%-32s %-24s %-16s %5zu\n", name, g->state, g->protocol, g->members);
	}
}

/* Names of all groups, in an event the caller destroys. */
static enum err all_groups(rd_kafka_t *rk, rd_kafka_event_t **ret_event,
    const rd_kafka_ConsumerGroupListing_t ***ret_groups, size_t *ret_count)
{
	rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
	rd_kafka_event_t *event = NULL;
	rd_kafka_ListConsumerGroups(rk, NULL, queue);
	enum err e = kclient_admin_wait(queue, RD_KAFKA_EVENT_LISTCONSUMERGROUPS_RESULT, &event);
	rd_kafka_queue_destroy(queue);
	TRY(e);
	const rd_kafka_ListConsumerGroups_result_t *r =
	    rd_kafka_event_ListConsumerGroups_result(event);
	size_t errors = 0;
	const rd_kafka_error_t **error = rd_kafka_ListConsumerGroups_result_errors(r, &errors);
	if (errors) {
		e = kclient_err(rd_kafka_error_code(error[0]), rd_kafka_error_string(error[0]));
		rd_kafka_event_destroy(event);
		return e;
	}
	*ret_groups = rd_kafka_ListConsumerGroups_result_valid(r, ret_count);
	*ret_event = event;
	return ERR_OK;
}

static enum err list_groups(struct cli *cli, rd_kafka_t *rk, struct writer *w)
{
	rd_kafka_event_t *event = NULL;
	const rd_kafka_ConsumerGroupListing_t **groups = NULL;
	size_t n = 0;
	bool lag = cli_has(cli, "lag");
	TRY(all_groups(rk, &event, &groups, &n));
	if (lag)
		lag_header(cli, w);
	else if (!cli->json)
		write_cstr(w, cli->csv ? "group,state,protocol,members\n"
		                       : "GROUP                            STATE                   "
		                         " PROTOCOL         MEMBERS\n");
	enum err e = ERR_OK;
	for (size_t i = 0; e == ERR_OK && i < n; i++) {
		const char *name = rd_kafka_ConsumerGroupListing_group_id(groups[i]);
		struct group g;
		if (lag) {
			e = lag_of(cli, rk, name, w);
			continue;
		}
		e = describe_group(rk, name, &g);
		if (e == ERR_OK) {
			write_group(cli, w, name, &g);
			rd_kafka_event_destroy(g.event);
		}
	}
	rd_kafka_event_destroy(event);
	return e;
}

enum exit_code cmd_group_list(struct cli *cli)
{
	rd_kafka_t *rk = NULL;
	struct writer w;
	writer_init(&w, 256 * MIB);
	enum err e = kclient_new(cli, RD_KAFKA_CONSUMER, lag_config, &rk);
	if (e == ERR_OK)
		e = list_groups(cli, rk, &w);
	if (e == ERR_OK && !cli_flush(&w))
		e = ERR_IO;
	writer_release(&w);
	if (rk)
		rd_kafka_destroy(rk);
	return e == ERR_OK ? EXIT_OK : cli_fail(e, NULL, "list groups at %s", cli_bootstrap(cli));
}

static void write_member(struct json_writer *j, const rd_kafka_MemberDescription_t *m)
{
	json_object_begin(j);
	json_key_str(j, "member", str_of(rd_kafka_MemberDescription_consumer_id(m)));
	json_key_str(j, "instance", str_of(rd_kafka_MemberDescription_group_instance_id(m)));
	json_key_str(j, "client", str_of(rd_kafka_MemberDescription_client_id(m)));
	json_key_str(j, "host", str_of(rd_kafka_MemberDescription_host(m)));
	json_key(j, STR("partitions"));
	json_array_begin(j);
	const rd_kafka_MemberAssignment_t *a = rd_kafka_MemberDescription_assignment(m);
	const rd_kafka_topic_partition_list_t *parts =
	    a ? rd_kafka_MemberAssignment_partitions(a) : NULL;
	for (int i = 0; parts && i < parts->cnt; i++) {
		char text[TOPIC_NAME_MAX + 16];
		snprintf(
		    text, sizeof text, "%s/%d", parts->elems[i].topic, parts->elems[i].partition);
		json_str(j, str_of(text));
	}
	json_array_end(j);
	json_object_end(j);
}

enum exit_code cmd_group_describe(struct cli *cli)
{
	rd_kafka_t *rk = NULL;
	struct group g;
	struct writer w;
	writer_init(&w, 256 * MIB);
	enum err e = kclient_new(cli, RD_KAFKA_CONSUMER, lag_config, &rk);
	if (e == ERR_OK)
		e = describe_group(rk, cli->args[0], &g);
	if (e == ERR_OK) {
		struct json_writer j;
		json_write_init(&j, &w);
		json_object_begin(&j);
		json_key_str(&j, "group", str_of(cli->args[0]));
		json_key_str(&j, "state", str_of(g.state));
		json_key_str(&j, "protocol", str_of(g.protocol));
		json_key(&j, STR("members"));
		json_array_begin(&j);
		for (size_t i = 0; i < g.members; i++)
			write_member(&j, rd_kafka_ConsumerGroupDescription_member(g.d, i));
		json_array_end(&j);
		json_object_end(&j);
		write_u8(&w, '\n');
		rd_kafka_event_destroy(g.event);
		if (!cli_flush(&w))
			e = ERR_IO;
	}
	writer_release(&w);
	if (rk)
		rd_kafka_destroy(rk);
	return e == ERR_OK ? EXIT_OK : cli_fail(e, NULL, "describe group %s", cli->args[0]);
}

/* ---- reset and delete ------------------------------------------------------------------------ */

static enum err plan_reset(
    struct cli *cli, rd_kafka_t *rk, rd_kafka_topic_partition_list_t **ret_plan)
{
	struct offset_point to;
	const char *topic = cli_get(cli, "topic", NULL);
	const struct rd_kafka_metadata *md;
	TRY(offset_point_parse(str_of(cli_get(cli, "to", "")), kclient_now_ms(), &to));
	TRY(kclient_topic(rk, topic, &md));
	rd_kafka_topic_partition_list_t *plan =
	    rd_kafka_topic_partition_list_new(md->topics[0].partition_cnt);
	for (int i = 0; i < md->topics[0].partition_cnt; i++)
		rd_kafka_topic_partition_list_add(plan, topic, md->topics[0].partitions[i].id);
	rd_kafka_metadata_destroy(md);
	enum err e = to.kind == OFFSET_STORED ? err_note(ERR_INVALID, "--to stored changes nothing")
	                                      : kclient_resolve(rk, to, plan);
	if (e != ERR_OK)
		rd_kafka_topic_partition_list_destroy(plan);
	else
		*ret_plan = plan;
	return e;
}

static void print_reset(struct cli *cli, const rd_kafka_topic_partition_list_t *now,
    const rd_kafka_topic_partition_list_t *plan, struct writer *w)
{
	if (!cli->json)
		write_cstr(w, cli->csv
		                  ? "group,topic,partition,committed,new\n"
		                  : "TOPIC                     PART    COMMITTED          NEW\n");
	for (int i = 0; i < plan->cnt; i++) {
		const rd_kafka_topic_partition_t *p = &plan->elems[i];
		int64_t before = -1;
		for (int k = 0; now && k < now->cnt; k++)
			if (now->elems[k].partition == p->partition &&
			    strcmp(now->elems[k].topic, p->topic) == 0)
				before = now->elems[k].offset < 0 ? -1 : now->elems[k].offset;
		if (cli->json)
			write_printf(w,
			    "{\"group\":\"%s\",\"topic\":\"%s\",\"partition\":%d,\"committed\":%"
			    "lld,\"new\":%lld}\n",
			    cli->args[0], p->topic, p->partition, (long long)before,
			    (long long)p->offset);
		else if (cli->csv)
			write_printf(w, "%s,%s,%d,%lld,%lld\n", cli->args[0], p->topic,
			    p->partition, (long long)before, (long long)p->offset);
		else
			write_printf(w, "%-24s %5d %12lld %12lld\n", p->topic, p->partition,
			    (long long)before, (long long)p->offset);
	}
}

/* A group that does not exist yet may be given offsets: that is how a consumer starts at a chosen
 * place. */
static enum err refuse_members(rd_kafka_t *rk, const char *name)
{
	struct group g;
	enum err e = describe_group(rk, name, &g);
	if (e == ERR_GROUP_NOT_FOUND) {
		err_clear();
		return ERR_OK;
	}
	TRY(e);
	size_t members = g.members;
	rd_kafka_event_destroy(g.event);
	if (members)
		return err_note(
		    ERR_REFUSED, "group %s has %zu members; stop them first", name, members);
	return ERR_OK;
}

static enum err reset(struct cli *cli, rd_kafka_t *rk, struct writer *w)
{
	rd_kafka_topic_partition_list_t *plan = NULL, *now = NULL;
	TRY(plan_reset(cli, rk, &plan));
	enum err e = refuse_members(rk, cli->args[0]);
	if (e == ERR_OK)
		e = committed(rk, cli->args[0], plan, &now);
	if (e == ERR_OK)
		print_reset(cli, now, plan, w);
	if (e == ERR_OK && cli_has(cli, "execute"))
		e = commit(rk, cli->args[0], plan);
	if (now)
		rd_kafka_topic_partition_list_destroy(now);
	rd_kafka_topic_partition_list_destroy(plan);
	return e;
}

static enum exit_code plan_or_done(struct cli *cli)
{
	if (cli_has(cli, "execute"))
		return EXIT_OK;
	fprintf(stderr, "plan only: nothing was done; --execute does it\n");
	return EXIT_REFUSED;
}

enum exit_code cmd_group_reset(struct cli *cli)
{
	if (!cli_has(cli, "topic") || !cli_has(cli, "to"))
		return cli_usage(cli, "--topic and --to are needed");
	rd_kafka_t *rk = NULL;
	struct writer w;
	writer_init(&w, 256 * MIB);
	enum err e = kclient_new(cli, RD_KAFKA_CONSUMER, lag_config, &rk);
	if (e == ERR_OK)
		e = reset(cli, rk, &w);
	if (e == ERR_OK && !cli_flush(&w))
		e = ERR_IO;
	writer_release(&w);
	if (rk)
		rd_kafka_destroy(rk);
	return e == ERR_OK ? plan_or_done(cli) : cli_fail(e, NULL, "reset group %s", cli->args[0]);
}

static enum err delete_group(rd_kafka_t *rk, const char *name)
{
	rd_kafka_DeleteGroup_t *req = rd_kafka_DeleteGroup_new(name);
	rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
	rd_kafka_event_t *event = NULL;
	rd_kafka_DeleteGroups(rk, &req, 1, NULL, queue);
	enum err e = kclient_admin_wait(queue, RD_KAFKA_EVENT_DELETEGROUPS_RESULT, &event);
	if (e == ERR_OK) {
		size_t n = 0;
		const rd_kafka_group_result_t **r = rd_kafka_DeleteGroups_result_groups(
		    rd_kafka_event_DeleteGroups_result(event), &n);
		const rd_kafka_error_t *error = n ? rd_kafka_group_result_error(r[0]) : NULL;
		if (n != 1 || error)
			e = kclient_err(
			    error ? rd_kafka_error_code(error) : RD_KAFKA_RESP_ERR__FAIL, NULL);
		rd_kafka_event_destroy(event);
	}
	rd_kafka_queue_destroy(queue);
	rd_kafka_DeleteGroup_destroy(req);
	return e;
}

enum exit_code cmd_group_delete(struct cli *cli)
{
	rd_kafka_t *rk = NULL;
	struct group g;
	const char *name = cli->args[0];
	enum err e = kclient_new(cli, RD_KAFKA_CONSUMER, lag_config, &rk);
	if (e == ERR_OK)
		e = describe_group(rk, name, &g);
	if (e == ERR_OK) {
		printf("plan: delete group %s (%s, %zu members) and its committed offsets\n", name,
		    g.state, g.members);
		if (g.members)
			e = err_note(ERR_NON_EMPTY_GROUP,
			    "group %s has %zu members; stop them first", name, g.members);
		rd_kafka_event_destroy(g.event);
	}
	if (e == ERR_OK && cli_has(cli, "execute"))
		e = delete_group(rk, name);
	if (rk)
		rd_kafka_destroy(rk);
	return e == ERR_OK ? plan_or_done(cli) : cli_fail(e, NULL, "delete group %s", name);
}
