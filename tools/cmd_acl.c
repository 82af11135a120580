/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kappa acl list | add | remove: access lists by the Kafka protocol, against any broker. librdkafka
 * 2.0 loses the error of a DescribeAcls that was refused: an empty list says that it may be one.
 */
#include "log/base/json_write.h"
#include "tools/commands.h"
#include "tools/kclient.h"

enum { ERRSTR = 512, OPERATIONS_MAX = 16 };

/* What the flags say; NULL or an _ANY: not said. */
struct wanted {
	rd_kafka_ResourceType_t resource;
	rd_kafka_ResourcePatternType_t pattern;
	rd_kafka_AclPermissionType_t permission;
	rd_kafka_AclOperation_t operations[OPERATIONS_MAX];
	size_t operation_count; /* at least one: _ANY */
	const char *name, *principal, *host;
};

/* ---- flags ----------------------------------------------------------------------------------- */

static const struct {
	const char *name;
	rd_kafka_AclOperation_t operation;
} operations[] = {
    {"all", RD_KAFKA_ACL_OPERATION_ALL},
    {"read", RD_KAFKA_ACL_OPERATION_READ},
    {"write", RD_KAFKA_ACL_OPERATION_WRITE},
    {"create", RD_KAFKA_ACL_OPERATION_CREATE},
    {"delete", RD_KAFKA_ACL_OPERATION_DELETE},
    {"alter", RD_KAFKA_ACL_OPERATION_ALTER},
    {"describe", RD_KAFKA_ACL_OPERATION_DESCRIBE},
    {"cluster-action", RD_KAFKA_ACL_OPERATION_CLUSTER_ACTION},
    {"describe-configs", RD_KAFKA_ACL_OPERATION_DESCRIBE_CONFIGS},
    {"alter-configs", RD_KAFKA_ACL_OPERATION_ALTER_CONFIGS},
    {"idempotent-write", RD_KAFKA_ACL_OPERATION_IDEMPOTENT_WRITE},
};

static const char *operation_name(rd_kafka_AclOperation_t operation)
{
	for (size_t i = 0; i < sizeof operations / sizeof *operations; i++)
		if (operations[i].operation == operation)
			return operations[i].name;
	return rd_kafka_AclOperation_name(operation);
}

/* librdkafka 2.0 has no transactional ids among its resources; Kafka's number is 5. */
static const char *resource_name(rd_kafka_ResourceType_t type)
{
	switch ((int)type) {
	case RD_KAFKA_RESOURCE_TOPIC:
		return "topic";
	case RD_KAFKA_RESOURCE_GROUP:
		return "group";
	case RD_KAFKA_RESOURCE_BROKER:
		return "cluster";
	default:
		return "other";
	}
}

static enum err add_operation(struct wanted *w, const char *text)
{
	for (size_t i = 0; i < sizeof operations / sizeof *operations; i++) {
		if (strcmp(operations[i].name, text) != 0)
			continue;
		if (w->operation_count == OPERATIONS_MAX)
			return err_note(ERR_INVALID, "too many operations");
		w->operations[w->operation_count++] = operations[i].operation;
		return ERR_OK;
	}
	return err_note(ERR_INVALID,
	    "--operation %s: all, read, write, create, delete, alter, describe, cluster-action, "
	    "describe-configs, alter-configs or idempotent-write",
	    text);
}

static enum err take_resource(const struct cli *cli, struct wanted *w)
{
	int said = cli_has(cli, "topic") + cli_has(cli, "group") + cli_has(cli, "cluster");
	if (said > 1)
		return err_note(ERR_INVALID, "one of --topic, --group and --cluster");
	if (cli_has(cli, "topic")) {
		w->resource = RD_KAFKA_RESOURCE_TOPIC;
		w->name = cli_get(cli, "topic", NULL);
	} else if (cli_has(cli, "group")) {
		w->resource = RD_KAFKA_RESOURCE_GROUP;
		w->name = cli_get(cli, "group", NULL);
	} else if (cli_has(cli, "cluster")) {
		w->resource = RD_KAFKA_RESOURCE_BROKER;
		w->name = "kafka-cluster";
	}
	if (cli_has(cli, "prefixed"))
		w->pattern = RD_KAFKA_RESOURCE_PATTERN_PREFIXED;
	return ERR_OK;
}

static enum err take_flags(const struct cli *cli, struct wanted *w)
{
	const char *text, *allow = cli_get(cli, "allow", NULL), *deny = cli_get(cli, "deny", NULL);
	*w = (struct wanted){.resource = RD_KAFKA_RESOURCE_ANY,
	    .pattern = RD_KAFKA_RESOURCE_PATTERN_ANY,
	    .permission = RD_KAFKA_ACL_PERMISSION_TYPE_ANY};
	TRY(take_resource(cli, w));
	if (allow && deny)
		return err_note(ERR_INVALID, "one of --allow and --deny");
	if (allow || deny)
		w->permission =
		    allow ? RD_KAFKA_ACL_PERMISSION_TYPE_ALLOW : RD_KAFKA_ACL_PERMISSION_TYPE_DENY;
	w->principal = allow ? allow : deny ? deny : cli_get(cli, "principal", NULL);
	w->host = cli_get(cli, "host", NULL);
	for (int i = 0; (text = cli_nth(cli, "operation", i)); i++)
		TRY(add_operation(w, text));
	if (w->operation_count == 0)
		w->operations[w->operation_count++] = RD_KAFKA_ACL_OPERATION_ANY;
	return ERR_OK;
}

/* ---- answers --------------------------------------------------------------------------------- */

static void write_acl(const struct cli *cli, struct writer *w, const rd_kafka_AclBinding_t *a)
{
	const char *pattern =
	    rd_kafka_AclBinding_resource_pattern_type(a) == RD_KAFKA_RESOURCE_PATTERN_PREFIXED
	        ? "prefixed"
	        : "literal";
	const char *permission =
	    rd_kafka_AclBinding_permission_type(a) == RD_KAFKA_ACL_PERMISSION_TYPE_DENY ? "deny"
	                                                                                : "allow";
	const char *fields[][2] = {{"resource", resource_name(rd_kafka_AclBinding_restype(a))},
	    {"name", rd_kafka_AclBinding_name(a)}, {"pattern", pattern}, {"permission", permission},
	    {"principal", rd_kafka_AclBinding_principal(a)},
	    {"operation", operation_name(rd_kafka_AclBinding_operation(a))},
	    {"host", rd_kafka_AclBinding_host(a)}};
	struct json_writer j;
	if (!cli->json) {
		for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
			write_printf(w, "%s%s", i ? "\t" : "", fields[i][1]);
		write_u8(w, '\n');
		return;
	}
	json_write_init(&j, w);
	json_object_begin(&j);
	for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
		json_key_str(&j, fields[i][0], str_of(fields[i][1]));
	json_object_end(&j);
	write_u8(w, '\n');
}

static void write_acls(
    const struct cli *cli, struct writer *w, const rd_kafka_AclBinding_t **acls, size_t count)
{
	for (size_t i = 0; i < count; i++)
		write_acl(cli, w, acls[i]);
}

static enum err new_filter(
    const struct wanted *w, size_t operation, rd_kafka_AclBindingFilter_t **ret_filter)
{
	char text[ERRSTR];
	*ret_filter = rd_kafka_AclBindingFilter_new(w->resource, w->name, w->pattern, w->principal,
	    w->host, w->operations[operation], w->permission, text, sizeof text);
	return *ret_filter ? ERR_OK : err_note(ERR_INVALID, "%s", text);
}

/* ---- the three verbs ------------------------------------------------------------------------- */

static enum err list(const struct cli *cli, rd_kafka_t *rk, const struct wanted *w,
    size_t operation, struct writer *out)
{
	rd_kafka_AclBindingFilter_t *filter;
	rd_kafka_event_t *event = NULL;
	TRY(new_filter(w, operation, &filter));
	rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
	rd_kafka_DescribeAcls(rk, filter, NULL, queue);
	enum err e = kclient_admin_wait(queue, RD_KAFKA_EVENT_DESCRIBEACLS_RESULT, &event);
	if (e == ERR_OK) {
		size_t count = 0;
		const rd_kafka_AclBinding_t **acls = rd_kafka_DescribeAcls_result_acls(
		    rd_kafka_event_DescribeAcls_result(event), &count);
		write_acls(cli, out, acls, count);
		rd_kafka_event_destroy(event);
	}
	rd_kafka_queue_destroy(queue);
	rd_kafka_AclBinding_destroy(filter);
	return e;
}

static enum err add(const struct cli *cli, rd_kafka_t *rk, const struct wanted *w, size_t operation,
    struct writer *out)
{
	char text[ERRSTR];
	rd_kafka_event_t *event = NULL;
	rd_kafka_AclBinding_t *acl = rd_kafka_AclBinding_new(w->resource, w->name, w->pattern,
	    w->principal, w->host, w->operations[operation], w->permission, text, sizeof text);
	if (!acl)
		return err_note(ERR_INVALID, "%s", text);
	rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
	rd_kafka_CreateAcls(rk, &acl, 1, NULL, queue);
	enum err e = kclient_admin_wait(queue, RD_KAFKA_EVENT_CREATEACLS_RESULT, &event);
	if (e == ERR_OK) {
		size_t count = 0;
		const rd_kafka_acl_result_t **results = rd_kafka_CreateAcls_result_acls(
		    rd_kafka_event_CreateAcls_result(event), &count);
		const rd_kafka_error_t *error =
		    count ? rd_kafka_acl_result_error(results[0]) : NULL;
		if (count != 1 || error)
			e = kclient_err(
			    error ? rd_kafka_error_code(error) : RD_KAFKA_RESP_ERR__FAIL,
			    error ? rd_kafka_error_string(error) : NULL);
		else
			write_acl(cli, out, acl);
		rd_kafka_event_destroy(event);
	}
	rd_kafka_queue_destroy(queue);
	rd_kafka_AclBinding_destroy(acl);
	return e;
}

static enum err removed(
    const struct cli *cli, const rd_kafka_DeleteAcls_result_response_t *r, struct writer *out)
{
	size_t count = 0;
	const rd_kafka_error_t *error = rd_kafka_DeleteAcls_result_response_error(r);
	if (error)
		return kclient_err(rd_kafka_error_code(error), rd_kafka_error_string(error));
	const rd_kafka_AclBinding_t **acls =
	    rd_kafka_DeleteAcls_result_response_matching_acls(r, &count);
	write_acls(cli, out, acls, count);
	return ERR_OK;
}

static enum err take_away(const struct cli *cli, rd_kafka_t *rk, const struct wanted *w,
    size_t operation, struct writer *out)
{
	rd_kafka_AclBindingFilter_t *filter;
	rd_kafka_event_t *event = NULL;
	TRY(new_filter(w, operation, &filter));
	rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
	rd_kafka_DeleteAcls(rk, &filter, 1, NULL, queue);
	enum err e = kclient_admin_wait(queue, RD_KAFKA_EVENT_DELETEACLS_RESULT, &event);
	if (e == ERR_OK) {
		size_t count = 0;
		const rd_kafka_DeleteAcls_result_response_t **r =
		    rd_kafka_DeleteAcls_result_responses(
		        rd_kafka_event_DeleteAcls_result(event), &count);
		e = count == 1 ? removed(cli, r[0], out)
		               : err_note(ERR_BAD_VALUE, "the broker answered %zu filters", count);
		rd_kafka_event_destroy(event);
	}
	rd_kafka_queue_destroy(queue);
	rd_kafka_AclBinding_destroy(filter);
	return e;
}

typedef enum err (*verb)(const struct cli *cli, rd_kafka_t *rk, const struct wanted *w,
    size_t operation, struct writer *out);

/* Once per operation named; what it did or found goes to stdout. */
static enum err run(const struct cli *cli, const struct wanted *w, verb do_one)
{
	rd_kafka_t *rk = NULL;
	struct writer out;
	writer_init(&out, 64 * MIB);
	enum err e = kclient_new(cli, RD_KAFKA_PRODUCER, NULL, &rk);
	for (size_t i = 0; e == ERR_OK && i < w->operation_count; i++)
		e = do_one(cli, rk, w, i, &out);
	if (e == ERR_OK && do_one == take_away && out.len == 0)
		e = err_note(ERR_NOT_FOUND, "no entry is like that");
	if (e == ERR_OK && do_one == list && out.len == 0)
		fprintf(stderr, "no entries, or none that you may see (describe on --cluster)\n");
	if (!cli_flush(&out) && e == ERR_OK)
		e = ERR_IO;
	writer_release(&out);
	if (rk)
		rd_kafka_destroy(rk);
	return e;
}

enum exit_code cmd_acl_list(struct cli *cli)
{
	struct wanted w;
	enum err e = take_flags(cli, &w);
	if (e != ERR_OK)
		return cli_usage(cli, "%s", err_chain());
	/* what speaks of a resource, whatever the pattern */
	if (w.name && w.pattern == RD_KAFKA_RESOURCE_PATTERN_ANY)
		w.pattern = RD_KAFKA_RESOURCE_PATTERN_MATCH;
	e = run(cli, &w, list);
	return e == ERR_OK ? EXIT_OK : cli_fail(e, NULL, "list access lists");
}

enum exit_code cmd_acl_add(struct cli *cli)
{
	struct wanted w;
	enum err e = take_flags(cli, &w);
	if (e != ERR_OK)
		return cli_usage(cli, "%s", err_chain());
	if (!w.name || w.permission == RD_KAFKA_ACL_PERMISSION_TYPE_ANY ||
	    w.operations[0] == RD_KAFKA_ACL_OPERATION_ANY)
		return cli_usage(cli, "--allow or --deny User:NAME, --operation OP, and one of "
		                      "--topic, --group and --cluster are needed");
	if (w.pattern == RD_KAFKA_RESOURCE_PATTERN_ANY)
		w.pattern = RD_KAFKA_RESOURCE_PATTERN_LITERAL;
	if (!w.host)
		w.host = "*";
	e = run(cli, &w, add);
	return e == ERR_OK ? EXIT_OK : cli_fail(e, NULL, "add to the access lists");
}

enum exit_code cmd_acl_remove(struct cli *cli)
{
	struct wanted w;
	enum err e = take_flags(cli, &w);
	if (e != ERR_OK)
		return cli_usage(cli, "%s", err_chain());
	if (!w.name && !w.principal)
		return cli_usage(cli, "which? --topic, --group, --cluster or --principal");
	if (w.name && w.pattern == RD_KAFKA_RESOURCE_PATTERN_ANY)
		w.pattern = RD_KAFKA_RESOURCE_PATTERN_LITERAL;
	e = run(cli, &w, take_away);
	return e == ERR_OK ? EXIT_OK : cli_fail(e, NULL, "remove from the access lists");
}
