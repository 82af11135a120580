/* SPDX-License-Identifier: Apache-2.0 */
/* kappa view ...: versions of views over the HTTP door. */
#include "log/base/json.h"
#include "log/base/offsetspec.h"
#include "tools/commands.h"
#include "tools/rows_out.h"
#include "tools/text_file.h"
#include <stdlib.h>
#include <time.h>

enum { NAME_MAX_ENCODED = 800, VALUE_MAX_ENCODED = 12000 };

static int64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * S_NS + t.tv_nsec;
}

/* "&name=value" of an option into buf, "" when it was not given. */
static enum err query_option(
    const struct cli *cli, const char *option, const char *name, char *buf, size_t len)
{
	const char *value = cli_get(cli, option, NULL);
	char encoded[VALUE_MAX_ENCODED];
	buf[0] = 0;
	if (!value)
		return ERR_OK;
	TRY(http_encode(encoded, sizeof encoded, str_of(value)));
	if ((size_t)snprintf(buf, len, "&%s=%s", name, encoded) >= len)
		return err_note(ERR_LIMIT, "--%s is too long", option);
	return ERR_OK;
}

static bool version_arg(const struct cli *cli, int index, int64_t *ret_version)
{
	if (str_to_i64(str_of(cli->args[index]), ret_version) && *ret_version > 0 &&
	    *ret_version <= INT32_MAX)
		return true;
	cli_usage(cli, "'%s': a version number is expected", cli->args[index]);
	return false;
}

/* ---- reading --------------------------------------------------------------------------------- */

enum exit_code cmd_view_list(struct cli *cli)
{
	struct rows_out out;
	rows_out_init(&out, cli);
	enum err e = rows_out_get(&out, "/v1/views?format=%s", rows_out_format(&out));
	rows_out_release(&out);
	return e == ERR_OK ? EXIT_OK : cli_fail(e, NULL, "list views at %s", cli_http(cli));
}

enum exit_code cmd_view_describe(struct cli *cli)
{
	char view[NAME_MAX_ENCODED];
	struct writer w;
	writer_init(&w, 64 * MIB);
	enum err e = http_encode(view, sizeof view, str_of(cli->args[0]));
	if (e == ERR_OK)
		e = http_get(
		    cli, &w, "/v1/views/%s/versions/%s", view, cli_get(cli, "version", "active"));
	if (e == ERR_OK && !cli_flush(&w))
		e = ERR_IO;
	writer_release(&w);
	return e == ERR_OK ? EXIT_OK : cli_fail(e, NULL, "describe view %s", cli->args[0]);
}

enum exit_code cmd_view_query(struct cli *cli)
{
	char view[NAME_MAX_ENCODED], version[64], sql[VALUE_MAX_ENCODED + 8] = "";
	struct rows_out out;
	if (cli_has(cli, "as-of"))
		return cli_fail(ERR_NOT_YET, NULL, "view query --as-of");
	rows_out_init(&out, cli);
	enum err e = http_encode(view, sizeof view, str_of(cli->args[0]));
	if (e == ERR_OK)
		e = query_option(cli, "version", "version", version, sizeof version);
	if (e == ERR_OK && cli->arg_count > 1) {
		memcpy(sql, "&sql=", 6);
		e = http_encode(sql + 5, sizeof sql - 5, str_of(cli->args[1]));
	}
	if (e == ERR_OK)
		e = rows_out_get(&out, "/v1/views/%s/rows?format=%s%s%s", view,
		    rows_out_format(&out), version, sql);
	rows_out_release(&out);
	return e == ERR_OK ? EXIT_OK : cli_fail(e, NULL, "query view %s", cli->args[0]);
}

enum exit_code cmd_view_explain_row(struct cli *cli)
{
	char view[NAME_MAX_ENCODED], version[64], key[VALUE_MAX_ENCODED], limit[64];
	if (!cli_has(cli, "key"))
		return cli_usage(cli, "--key is needed");
	struct writer w;
	writer_init(&w, 64 * MIB);
	enum err e = http_encode(view, sizeof view, str_of(cli->args[0]));
	if (e == ERR_OK)
		e = query_option(cli, "version", "version", version, sizeof version);
	if (e == ERR_OK)
		e = query_option(cli, "key", "key", key, sizeof key);
	if (e == ERR_OK)
		e = query_option(cli, "limit", "limit", limit, sizeof limit);
	if (e == ERR_OK)
		e = http_get(cli, &w, "/v1/views/%s/explain?x=%s%s%s", view, version, key, limit);
	if (e == ERR_OK && !cli_flush(&w))
		e = ERR_IO;
	writer_release(&w);
	return e == ERR_OK ? EXIT_OK : cli_fail(e, NULL, "explain a row of %s", cli->args[0]);
}

/* ---- diff ------------------------------------------------------------------------------------ */

static enum err print_summary(
    const struct rows_out *o, const char *view, int64_t a, int64_t b, bool *ret_differs)
{
	static const struct json_path_spec specs[] = {{{"sequence", 8}, false, true},
	    {{"added", 5}, false, true}, {{"removed", 7}, false, true},
	    {{"changed", 7}, false, true}, {{"same", 4}, false, true}};
	struct json_paths *paths;
	struct json_value v[5];
	TRY(json_paths_new(specs, 5, &paths));
	enum err e = json_scan(paths, bytes_str(writer_bytes(&o->summary)), v);
	json_paths_free(paths);
	if (e != ERR_OK)
		return err_note(ERR_CONNECT, "the answer was cut");
	fprintf(stderr,
	    "diff %s %lld %lld at sequence " STR_FMT ": " STR_FMT " added, " STR_FMT
	    " removed, " STR_FMT " changed, " STR_FMT " same\n",
	    view, (long long)a, (long long)b, STR_ARG(v[0].text), STR_ARG(v[1].text),
	    STR_ARG(v[2].text), STR_ARG(v[3].text), STR_ARG(v[4].text));
	for (int i = 1; i < 4; i++)
		*ret_differs |= !str_equal(v[i].text, STR("0"));
	return ERR_OK;
}

enum exit_code cmd_view_diff(struct cli *cli)
{
	char view[NAME_MAX_ENCODED], key[VALUE_MAX_ENCODED];
	int64_t a, b;
	bool differs = false;
	struct rows_out out;
	if (!version_arg(cli, 1, &a) || !version_arg(cli, 2, &b))
		return EXIT_USAGE;
	rows_out_init(&out, cli);
	enum err e = http_encode(view, sizeof view, str_of(cli->args[0]));
	if (e == ERR_OK)
		e = query_option(cli, "key", "key", key, sizeof key);
	if (e == ERR_OK)
		e = rows_out_get(&out, "/v1/views/%s/diff?summary=1&format=%s&a=%lld&b=%lld%s%s",
		    view, rows_out_format(&out), (long long)a, (long long)b, key,
		    cli_has(cli, "different-input") ? "&different_input=1" : "");
	if (e == ERR_OK)
		e = print_summary(&out, cli->args[0], a, b, &differs);
	rows_out_release(&out);
	if (e != ERR_OK)
		return cli_fail(e,
		    e == ERR_DIFFERENT_INPUT ? "--different-input compares all the same" : NULL,
		    "diff %s %lld %lld", cli->args[0], (long long)a, (long long)b);
	return differs && cli_has(cli, "exit-code") ? EXIT_DIFFERS : EXIT_OK;
}

/* ---- changing -------------------------------------------------------------------------------- */

/* POST; prints the JSON answer with --json, else the sentence made of it. */
static enum err post(struct cli *cli, struct bytes body, const char *path, const char *sentence)
{
	static const struct json_path_spec specs[] = {
	    {{"view", 4}, false, true}, {{"version", 7}, false, true}};
	struct http_call call = {
	    .method = "POST", .body = body, .content_type = STR("application/sql")};
	struct json_paths *paths;
	struct json_value v[2];
	struct writer w;
	writer_init(&w, MIB);
	snprintf(call.path, sizeof call.path, "%s", path);
	call.on_body = text_piece;
	call.ctx = &w;
	enum err e = http_do(cli, &call);
	if (e == ERR_OK && cli->json) {
		e = cli_flush(&w) ? ERR_OK : ERR_IO;
	} else if (e == ERR_OK && (e = json_paths_new(specs, 2, &paths)) == ERR_OK) {
		e = json_scan(paths, bytes_str(writer_bytes(&w)), v);
		if (e == ERR_OK)
			printf("view " STR_FMT " version " STR_FMT " %s\n", STR_ARG(v[0].text),
			    STR_ARG(v[1].text), sentence);
		json_paths_free(paths);
	}
	writer_release(&w);
	return e;
}

enum exit_code cmd_view_rebuild(struct cli *cli)
{
	char view[NAME_MAX_ENCODED], from[VALUE_MAX_ENCODED], path[16000];
	struct bytes sql = {0};
	if (!cli_has(cli, "file"))
		return cli_usage(cli, "-f FILE with the new logic is needed");
	enum err e = text_file_read(cli_get(cli, "file", ""), &sql);
	if (e == ERR_OK)
		e = http_encode(view, sizeof view, str_of(cli->args[0]));
	if (e == ERR_OK)
		e = query_option(cli, "from", "from", from, sizeof from);
	if (e == ERR_OK) {
		snprintf(path, sizeof path, "/v1/views/%s/versions?x=%s", view, from);
		e = post(cli, sql, path, "is being rebuilt beside the active one");
	}
	text_file_release(&sql);
	if (e != ERR_OK)
		return cli_fail(e, NULL, "rebuild view %s", cli->args[0]);
	cli_next(cli, "kappa view wait %s N --lag 1s", cli->args[0]);
	return EXIT_OK;
}

enum { W_LAG, W_STATE, W_DONE, W_TOTAL, W_RATE, W_POSITION, W_REASON, W_COUNT };

/* Asks the server to wait a second for the lag; reads the status. */
static enum err poll_version(struct cli *cli, const char *view, int64_t version, int64_t lag_ns,
    struct writer *w, struct json_value *v)
{
	static const struct json_path_spec specs[W_COUNT] = {{{"lag_seconds", 11}, false, true},
	    {{"state", 5}, false, true}, {{"done", 4}, false, true}, {{"total", 5}, false, true},
	    {{"rate", 4}, false, true}, {{"position", 8}, false, true},
	    {{"reason", 6}, false, true}};
	struct json_paths *paths;
	writer_clear(w);
	TRY(http_get(cli, w, "/v1/views/%s/versions/%lld?lag_ms=%lld&timeout_ms=500", view,
	    (long long)version, (long long)(lag_ns / MS_NS)));
	TRY(json_paths_new(specs, W_COUNT, &paths));
	enum err e = json_scan(paths, bytes_str(writer_bytes(w)), v);
	json_paths_free(paths);
	return e;
}

static double number(struct json_value v)
{
	char text[64];
	snprintf(text, sizeof text, STR_FMT, STR_ARG(v.text));
	return v.kind == JSON_NUMBER ? strtod(text, NULL) : 0;
}

enum exit_code cmd_view_wait(struct cli *cli)
{
	int64_t version, lag_ns = S_NS, timeout_ns = 600 * S_NS;
	char view[NAME_MAX_ENCODED];
	if (!version_arg(cli, 1, &version) || !cli_duration(cli, "lag", &lag_ns) ||
	    !cli_duration(cli, "timeout", &timeout_ns))
		return EXIT_USAGE;
	struct writer w;
	struct json_value v[W_COUNT];
	struct progress progress;
	int64_t deadline = now_ns() + timeout_ns;
	writer_init(&w, 16 * MIB);
	progress_begin(
	    &progress, cli, "rebuild", "view=%s version=%lld", cli->args[0], (long long)version);
	enum err e = http_encode(view, sizeof view, str_of(cli->args[0]));
	while (e == ERR_OK) {
		e = poll_version(cli, view, version, lag_ns, &w, v);
		if (e != ERR_OK)
			break;
		progress_update(&progress, (uint64_t)number(v[W_DONE]),
		    (uint64_t)number(v[W_TOTAL]), number(v[W_RATE]),
		    (uint64_t)number(v[W_POSITION]));
		if (str_equal(v[W_STATE].text, STR("failed")) ||
		    str_equal(v[W_STATE].text, STR("source_gone")))
			e = err_note(ERR_REFUSED, "the version is " STR_FMT ": " STR_FMT,
			    STR_ARG(v[W_STATE].text), STR_ARG(v[W_REASON].text));
		else if (str_equal(v[W_STATE].text, STR("ready")) &&
		         number(v[W_LAG]) * 1e9 <= (double)lag_ns)
			break;
		else if (now_ns() >= deadline)
			e = err_note(ERR_TIMEOUT, "the lag is %.3f s", number(v[W_LAG]));
	}
	progress_end(&progress);
	if (e == ERR_OK && cli->json && !cli_flush(&w))
		e = ERR_IO;
	if (e == ERR_OK && !cli->json)
		printf("view %s version %lld is ready, lag %.3f s\n", cli->args[0],
		    (long long)version, number(v[W_LAG]));
	writer_release(&w);
	return e == ERR_OK ? EXIT_OK
	                   : cli_fail(e, NULL, "wait for view %s version %lld", cli->args[0],
	                         (long long)version);
}

enum exit_code cmd_view_promote(struct cli *cli)
{
	char view[NAME_MAX_ENCODED], reason[VALUE_MAX_ENCODED], path[16000], keep[64] = "";
	int64_t version, keep_ns = -1;
	if (!version_arg(cli, 1, &version) || !cli_duration(cli, "keep", &keep_ns))
		return EXIT_USAGE;
	if (keep_ns >= 0)
		snprintf(keep, sizeof keep, "&keep_ms=%lld", (long long)(keep_ns / MS_NS));
	enum err e = http_encode(view, sizeof view, str_of(cli->args[0]));
	if (e == ERR_OK)
		e = query_option(cli, "reason", "reason", reason, sizeof reason);
	if (e == ERR_OK) {
		snprintf(path, sizeof path, "/v1/views/%s/promote?version=%lld%s%s", view,
		    (long long)version, keep, reason);
		e = post(cli, (struct bytes){0}, path, "is active");
	}
	if (e != ERR_OK)
		return cli_fail(e, NULL, "promote %s %s", cli->args[0], cli->args[1]);
	cli_next(cli, "kappa view rollback %s undoes it", cli->args[0]);
	return EXIT_OK;
}

enum exit_code cmd_view_rollback(struct cli *cli)
{
	char view[NAME_MAX_ENCODED], reason[VALUE_MAX_ENCODED], path[16000];
	enum err e = http_encode(view, sizeof view, str_of(cli->args[0]));
	if (e == ERR_OK)
		e = query_option(cli, "reason", "reason", reason, sizeof reason);
	if (e == ERR_OK) {
		snprintf(path, sizeof path, "/v1/views/%s/rollback?x=%s", view, reason);
		e = post(cli, (struct bytes){0}, path, "is active again");
	}
	return e == ERR_OK ? EXIT_OK : cli_fail(e, NULL, "roll back %s", cli->args[0]);
}

enum exit_code cmd_view_drop(struct cli *cli)
{
	struct http_call call = {
	    .method = "POST", .content_type = STR("application/sql"), .on_body = text_piece};
	struct writer sql, answer;
	writer_init(&sql, MIB);
	writer_init(&answer, MIB);
	write_cstr(&sql, "DROP MATERIALIZED VIEW \"");
	for (const char *p = cli->args[0]; *p; p++) {
		if (*p == '"')
			write_u8(&sql, '"');
		write_u8(&sql, (uint8_t)*p);
	}
	write_cstr(&sql, "\"");
	call.body = writer_bytes(&sql);
	call.ctx = &answer;
	snprintf(
	    call.path, sizeof call.path, "/v1/sql?%s", cli_has(cli, "execute") ? "execute=1" : "");
	enum err e = http_do(cli, &call);
	if (e == ERR_OK)
		fprintf(stderr, "%.*s", (int)answer.len, (const char *)answer.ptr);
	writer_release(&sql);
	writer_release(&answer);
	return e == ERR_OK ? EXIT_OK : cli_fail(e, NULL, "drop view %s", cli->args[0]);
}

/* ---- dead letters ---------------------------------------------------------------------------- */

static enum err get_dlq(struct cli *cli, struct rows_out *out, const char *id)
{
	char view[NAME_MAX_ENCODED], version[64], limit[64], encoded[VALUE_MAX_ENCODED] = "";
	TRY(http_encode(view, sizeof view, str_of(cli->args[0])));
	TRY(query_option(cli, "version", "version", version, sizeof version));
	TRY(query_option(cli, "limit", "limit", limit, sizeof limit));
	if (id)
		TRY(http_encode(encoded, sizeof encoded, str_of(id)));
	return rows_out_get(out, "/v1/dlq/%s?format=%s%s%s%s%s", view, rows_out_format(out),
	    version, limit, id ? "&id=" : "", encoded);
}

static enum exit_code dlq(struct cli *cli, const char *id)
{
	struct rows_out out;
	rows_out_init(&out, cli);
	enum err e = get_dlq(cli, &out, id);
	rows_out_release(&out);
	return e == ERR_OK ? EXIT_OK : cli_fail(e, NULL, "dead letters of %s", cli->args[0]);
}

enum exit_code cmd_dlq_list(struct cli *cli)
{
	return dlq(cli, NULL);
}

enum exit_code cmd_dlq_show(struct cli *cli)
{
	return dlq(cli, cli->arg_count > 1 ? cli->args[1] : NULL);
}
