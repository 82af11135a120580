/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET /v1/users; POST /v1/users {"user", "password", "iterations", "mechanisms": "A,B"}: a new one
 * (409 when there); PUT /v1/users/{user}: another password for one that is there; DELETE
 * /v1/users/{user}. A user has the mechanisms named, both SCRAM ones by default. The password is
 * hashed here and kept nowhere.
 */
#include "broker/auth/auth.h"
#include "broker/http/observe.h"
#include "log/base/json.h"
#include "log/base/json_write.h"
#include <openssl/crypto.h>

enum { PASSWORD_MAX = 1024, MECHANISMS = 2, BODY_MAX = 16384 };

struct user_work {
	struct broker *b;
	struct str user;
	bool must_exist, must_be_new;
	struct scram_credential credential[MECHANISMS];
	size_t credential_count; /* 0: removes all */
	/* the put */
	struct log_row rows[MECHANISMS];
	struct writer bytes;
	struct log_table_put put;
	struct gate gate;
	enum err err;
};

/* ---- on the loop ----------------------------------------------------------------------------- */

static void put_done(struct log_table_put *put)
{
	struct user_work *w = CONTAINER_OF(put, struct user_work, put);
	w->err = put->err;
	gate_open(&w->gate);
}

static const struct scram_credential *wanted(
    const struct user_work *w, enum scram_mechanism mechanism)
{
	for (size_t i = 0; i < w->credential_count; i++) {
		if (w->credential[i].mechanism == mechanism)
			return &w->credential[i];
	}
	return NULL;
}

/* One row for each mechanism that is wanted, or there and no longer wanted. */
static enum err make_rows(struct user_work *w, size_t *ret_count)
{
	static const enum scram_mechanism all[MECHANISMS] = {SCRAM_SHA_256, SCRAM_SHA_512};
	struct {
		size_t key, value, end;
	} at[MECHANISMS];
	size_t count = 0;
	for (size_t i = 0; i < MECHANISMS; i++) {
		const struct scram_credential *c = wanted(w, all[i]);
		if (!c && !users_find(&w->b->auth->users, w->user, all[i]))
			continue;
		at[count].key = w->bytes.len;
		user_row_key(&w->bytes, w->user, all[i]);
		at[count].value = w->bytes.len;
		if (c)
			user_row_value(&w->bytes, c);
		at[count++].end = w->bytes.len;
	}
	TRY(w->bytes.err);
	for (size_t i = 0; i < count; i++) {
		struct bytes b = writer_bytes(&w->bytes);
		w->rows[i].key = bytes_slice(b, at[i].key, at[i].value - at[i].key);
		w->rows[i].value = (struct bytes){NULL, 0};
		if (at[i].end > at[i].value)
			w->rows[i].value = bytes_slice(b, at[i].value, at[i].end - at[i].value);
	}
	*ret_count = count;
	return ERR_OK;
}

static enum err put_start(struct user_work *w)
{
	const struct users *users = &w->b->auth->users;
	size_t first = users_first(users, w->user), count = 0;
	bool there = first < users->count && str_equal(str_of(users->at[first]->name), w->user);
	if (there && w->must_be_new)
		return err_note(ERR_EXISTS, "there is a user " STR_FMT, STR_ARG(w->user));
	if (!there && w->must_exist)
		return err_note(ERR_NOT_FOUND, "there is no user " STR_FMT, STR_ARG(w->user));
	if (!there && users->count + MECHANISMS > USERS_MAX)
		return err_note(ERR_LIMIT, "%d credentials", USERS_MAX);
	TRY(make_rows(w, &count));
	w->put = (struct log_table_put){.rows = w->rows, .row_count = count, .done = put_done};
	log_table_put(users->table, &w->put);
	return ERR_OK;
}

static void put_on_loop(void *arg)
{
	struct user_work *w = arg;
	w->err = put_start(w);
	if (w->err != ERR_OK)
		gate_open(&w->gate);
}

/* ---- requests -------------------------------------------------------------------------------- */

static enum err execute(struct user_work *w)
{
	err_clear();
	writer_init(&w->bytes, 16 * KIB);
	gate_init(&w->gate);
	loop_call(w->b->loop, put_on_loop, w);
	gate_wait(&w->gate);
	gate_release(&w->gate);
	if (w->bytes.ptr)
		OPENSSL_cleanse(w->bytes.ptr, w->bytes.len);
	writer_release(&w->bytes);
	OPENSSL_cleanse(w->credential, sizeof(w->credential));
	return w->err;
}

/* "SCRAM-SHA-256,SCRAM-SHA-512" */
static enum err take_mechanisms(struct user_work *w, struct str list)
{
	while (list.len > 0) {
		size_t n = 0;
		enum scram_mechanism m = SCRAM_SHA_256;
		while (n < list.len && list.ptr[n] != ',')
			n++;
		struct str name = str_from(list.ptr, n);
		if (str_equal(name, str_of(scram_name(SCRAM_SHA_512))))
			m = SCRAM_SHA_512;
		else if (!str_equal(name, str_of(scram_name(SCRAM_SHA_256))))
			return err_note(ERR_SASL_MECHANISM,
			    "'" STR_FMT "': SCRAM-SHA-256, SCRAM-SHA-512 or both", STR_ARG(name));
		if (wanted(w, m))
			return err_note(ERR_INVALID, "a mechanism named twice");
		w->credential[w->credential_count++].mechanism = m;
		list = str_from(list.ptr + n + (n < list.len), list.len - n - (n < list.len));
	}
	return ERR_OK;
}

static enum err make_credentials(struct user_work *w, struct str password, int64_t iterations)
{
	if (password.len == 0 || password.len > PASSWORD_MAX)
		return err_note(ERR_INVALID, "a password has 1 to %d bytes", PASSWORD_MAX);
	if (memchr(password.ptr, 0, password.len))
		return err_note(ERR_INVALID, "a password has no NUL byte");
	for (size_t i = 0; i < w->credential_count; i++) {
		struct scram_credential *c = &w->credential[i];
		c->iterations =
		    iterations < 0 || iterations > UINT32_MAX ? 0 : (uint32_t)iterations;
		c->salt_len = SCRAM_SALT_BYTES;
		TRY(user_check(w->user, c));
		TRY(user_check_name(w->user));
		io_random(w->b->io, c->salt, c->salt_len);
		TRY(scram_derive_password(c, password));
	}
	return ERR_OK;
}

static enum err take_body(struct user_work *w, struct http_request *request, struct arena *arena)
{
	static const struct json_path_spec specs[] = {{.path = {"user", 4}, .exact_case = true},
	    {.path = {"password", 8}, .exact_case = true},
	    {.path = {"iterations", 10}, .exact_case = true},
	    {.path = {"mechanisms", 10}, .exact_case = true}};
	struct json_value v[4];
	struct json_paths *paths;
	struct str password, list = STR("SCRAM-SHA-256,SCRAM-SHA-512");
	int64_t iterations = SCRAM_ITERATIONS_MIN;
	TRY(json_paths_new(specs, 4, &paths));
	enum err err = json_scan(paths, bytes_str(http_body(request)), v);
	json_paths_free(paths);
	TRY(err);
	if (v[1].kind != JSON_STRING || (!w->user.ptr && v[0].kind != JSON_STRING))
		return err_note(ERR_INVALID, "the body needs \"user\" and \"password\"");
	if (!w->user.ptr)
		TRY(json_unescape(arena, v[0], &w->user));
	TRY(json_unescape(arena, v[1], &password));
	if (v[2].kind != JSON_ABSENT &&
	    (v[2].kind != JSON_NUMBER || !str_to_i64(v[2].text, &iterations)))
		return err_note(ERR_INVALID, "\"iterations\" is a whole number");
	if (v[3].kind != JSON_ABSENT && v[3].kind != JSON_STRING)
		return err_note(ERR_INVALID, "\"mechanisms\" is a string");
	if (v[3].kind == JSON_STRING)
		TRY(json_unescape(arena, v[3], &list));
	TRY(take_mechanisms(w, list));
	if (w->credential_count == 0)
		return err_note(ERR_INVALID, "\"mechanisms\" names none");
	return make_credentials(w, password, iterations);
}

static enum err write_user(
    struct broker *b, struct http_request *request, struct http_reply *reply, bool is_new)
{
	struct user_work w = {.b = b,
	    .user = is_new ? (struct str){NULL, 0} : http_param(request, "user"),
	    .must_be_new = is_new,
	    .must_exist = !is_new};
	struct arena arena;
	arena_init(&arena, 4 * BODY_MAX);
	enum err err = take_body(&w, request, &arena);
	if (err == ERR_OK)
		err = execute(&w);
	arena_release(&arena);
	return err == ERR_OK ? http_reply_body(reply, is_new ? 201 : 200, "application/json",
	                           bytes_of("{}\n", 3))
	                     : err;
}

static enum err post_user(void *ctx, struct http_request *request, struct http_reply *reply)
{
	return write_user(ctx, request, reply, true);
}

static enum err put_user(void *ctx, struct http_request *request, struct http_reply *reply)
{
	return write_user(ctx, request, reply, false);
}

static enum err delete_user(void *ctx, struct http_request *request, struct http_reply *reply)
{
	struct user_work w = {.b = ctx, .user = http_param(request, "user"), .must_exist = true};
	TRY(execute(&w));
	return http_reply_body(reply, 200, "application/json", bytes_of("{}\n", 3));
}

/* ---- listing --------------------------------------------------------------------------------- */

struct user_list {
	struct broker *b;
	struct writer w;
	char format; /* a array, n NDJSON, c CSV */
};

static void write_json_user(struct user_list *l, const struct user *u, bool first)
{
	struct json_writer j;
	if (l->format == 'a' && !first)
		write_u8(&l->w, ',');
	json_write_init(&j, &l->w);
	json_object_begin(&j);
	json_key_str(&j, "user", str_of(u->name));
	json_key_str(&j, "mechanism", str_of(scram_name(u->credential.mechanism)));
	json_key_u64(&j, "iterations", u->credential.iterations);
	json_object_end(&j);
	if (l->format == 'n')
		write_u8(&l->w, '\n');
}

static void write_csv_user(struct user_list *l, const struct user *u)
{
	write_u8(&l->w, '"');
	for (const char *c = u->name; *c; c++) {
		if (*c == '"')
			write_u8(&l->w, '"');
		write_u8(&l->w, (uint8_t)*c);
	}
	write_printf(
	    &l->w, "\",%s,%u\n", scram_name(u->credential.mechanism), u->credential.iterations);
}

static void list_on_loop(void *arg)
{
	struct user_list *l = arg;
	const struct users *u = &l->b->auth->users;
	for (size_t i = 0; i < u->count; i++) {
		if (l->format == 'c')
			write_csv_user(l, u->at[i]);
		else
			write_json_user(l, u->at[i], i == 0);
	}
}

static enum err get_users(void *ctx, struct http_request *request, struct http_reply *reply)
{
	static const char *const types[] = {"application/json", "application/x-ndjson", "text/csv"};
	struct str format = http_query(request, "format");
	struct user_list l = {.b = ctx, .format = 'a'};
	if (str_equal(format, STR("ndjson")) || str_equal(format, STR("csv")))
		l.format = format.ptr[0];
	else if (format.ptr && !str_equal(format, STR("json")))
		return err_note(ERR_INVALID, "format is json, ndjson or csv");
	writer_init(&l.w, 64 * MIB);
	write_cstr(&l.w, l.format == 'a'   ? "["
	                 : l.format == 'c' ? "user,mechanism,iterations\n"
	                                   : "");
	loop_call(l.b->loop, list_on_loop, &l);
	write_cstr(&l.w, l.format == 'a' ? "]" : "");
	enum err err = http_reply_take(reply, 200,
	    types[l.format == 'a'   ? 0
	          : l.format == 'n' ? 1
	                            : 2],
	    &l.w);
	writer_release(&l.w);
	return err;
}

enum err api_users_routes(struct broker *b, struct http *http)
{
	const struct http_route routes[] = {
	    {.method = "GET", .pattern = "/v1/users", .handler = get_users, .ctx = b},
	    {.method = "POST",
	        .pattern = "/v1/users",
	        .handler = post_user,
	        .ctx = b,
	        .body_max = BODY_MAX},
	    {.method = "PUT",
	        .pattern = "/v1/users/{user}",
	        .handler = put_user,
	        .ctx = b,
	        .body_max = BODY_MAX},
	    {.method = "DELETE", .pattern = "/v1/users/{user}", .handler = delete_user, .ctx = b},
	};
	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++)
		TRY(http_route(http, &routes[i]));
	return ERR_OK;
}
