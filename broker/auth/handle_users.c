/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DescribeUserScramCredentials, AlterUserScramCredentials 0. The changes of one request are one
 * batch of the table; what is wrong for a user leaves that user as it was. Answered when durable
 * and in force.
 */
#include "broker/auth/auth.h"
#include "broker/auth/handlers.h"
#include "broker/kafka/handlers.h"
#include <openssl/crypto.h>

typedef struct describe_user_scram_credentials_response_result described;
typedef struct describe_user_scram_credentials_response_credential_info described_info;

/* ---- DescribeUserScramCredentials ------------------------------------------------------------ */

/* All entries of one name stand together. Returns how many from `first` on. */
static size_t run_of(const struct users *u, size_t first)
{
	size_t n = 1;
	while (first + n < u->count && strcmp(u->at[first + n]->name, u->at[first]->name) == 0)
		n++;
	return n;
}

/* False: no memory. */
static bool fill_user(struct request *req, size_t first, size_t count, described *out)
{
	const struct users *u = &req->broker->auth->users;
	out->user = str_of(u->at[first]->name); /* encoded before anything can change */
	out->credential_infos.at = request_new(
	    req, &describe_user_scram_credentials_response_credential_info_shape, count);
	if (!out->credential_infos.at)
		return false;
	out->credential_infos.count = (uint32_t)count;
	for (size_t i = 0; i < count; i++) {
		const struct scram_credential *c = &u->at[first + i]->credential;
		out->credential_infos.at[i] = (described_info){
		    .mechanism = (int8_t)c->mechanism, .iterations = (int32_t)c->iterations};
	}
	return true;
}

static bool describe_all(struct request *req)
{
	struct describe_user_scram_credentials_response *r = req->response;
	const struct users *u = &req->broker->auth->users;
	r->results.at =
	    request_new(req, &describe_user_scram_credentials_response_result_shape, u->count);
	if (!r->results.at)
		return false;
	for (size_t i = 0, n; i < u->count; i += n) {
		n = run_of(u, i);
		if (!fill_user(req, i, n, &r->results.at[r->results.count++]))
			return false;
	}
	return true;
}

static void set_error(struct request *req, described *out, enum err err)
{
	out->error_code = err_kafka(err);
	out->error_message = request_error_text(req, err);
	err_clear();
}

static bool describe_one(struct request *req, struct str name, described *out)
{
	const struct users *u = &req->broker->auth->users;
	size_t first = users_first(u, name);
	if (first < u->count && str_equal(str_of(u->at[first]->name), name))
		return fill_user(req, first, run_of(u, first), out);
	out->user = name;
	set_error(req, out, ERR_RESOURCE_NOT_FOUND);
	return true;
}

static bool describe_named(struct request *req)
{
	const struct describe_user_scram_credentials_request *body = req->body;
	struct describe_user_scram_credentials_response *r = req->response;
	struct map seen;
	bool ok = true;
	uint32_t count = body->users.count;
	r->results.at =
	    request_new(req, &describe_user_scram_credentials_response_result_shape, count);
	if (!r->results.at)
		return false;
	map_init(&seen);
	for (uint32_t i = 0; i < count && ok; i++) {
		struct str name = body->users.at[i].name;
		described *before = map_get(&seen, str_bytes(name));
		described *out = &r->results.at[r->results.count];
		if (before) {
			before->credential_infos.count = 0;
			set_error(req, before, ERR_DUPLICATE_RESOURCE);
			continue;
		}
		r->results.count++;
		ok = describe_one(req, name, out) && map_put(&seen, str_bytes(name), out) == ERR_OK;
	}
	map_release(&seen);
	return ok;
}

void handle_describe_users(struct request *req)
{
	const struct describe_user_scram_credentials_request *body = req->body;
	bool ok = body->users.count == 0 ? describe_all(req) : describe_named(req);
	if (ok)
		request_answer(req);
	else
		request_fail(req, ERR_LIMIT);
}

/* ---- AlterUserScramCredentials --------------------------------------------------------------- */

/* What the request waits for. */
struct user_change {
	struct log_table_put put;
	struct request *req;
	struct map seen; /* name -> its result */
	struct writer bytes;
	struct log_row *rows;
	struct user_mark {
		size_t key_at, value_at, end;
		uint32_t result; /* whose it is */
	} * marks;
	size_t count;
	uint8_t *named; /* by result: the mechanisms that were named, as bits */
};
typedef struct alter_user_scram_credentials_response_result altered;

static struct user_change *change_new(struct request *req)
{
	const struct alter_user_scram_credentials_request *body = req->body;
	struct alter_user_scram_credentials_response *r = req->response;
	size_t most = (size_t)body->deletions.count + body->upsertions.count;
	struct user_change *c = request_alloc(req, sizeof(*c));
	if (!c)
		return NULL;
	c->req = req;
	c->rows = request_alloc(req, most * sizeof(*c->rows));
	c->marks = request_alloc(req, most * sizeof(*c->marks));
	c->named = request_alloc(req, most);
	r->results.at = request_new(req, &alter_user_scram_credentials_response_result_shape, most);
	map_init(&c->seen);
	writer_init(&c->bytes, 64 * MIB);
	return c->rows && c->marks && c->named && r->results.at ? c : NULL;
}

static void change_release(struct user_change *c)
{
	if (c->bytes.ptr)
		OPENSSL_cleanse(c->bytes.ptr, c->bytes.len);
	writer_release(&c->bytes);
	map_release(&c->seen);
}

static void refuse(struct user_change *c, altered *out, enum err err)
{
	if (out->error_code == 0) {
		out->error_code = err_kafka(err);
		out->error_message = request_error_text(c->req, err);
	}
	err_clear();
}

/* The result of this user, a new one at first. NULL: no memory. */
static altered *result_of(struct user_change *c, struct str name)
{
	struct alter_user_scram_credentials_response *r = c->req->response;
	altered *out = map_get(&c->seen, str_bytes(name));
	if (out)
		return out;
	out = &r->results.at[r->results.count];
	if (map_put(&c->seen, str_bytes(name), out) != ERR_OK)
		return NULL;
	r->results.count++;
	out->user = name;
	return out;
}

static uint8_t *named_of(const struct user_change *c, const altered *out)
{
	const struct alter_user_scram_credentials_response *r = c->req->response;
	return &c->named[out - r->results.at];
}

/* Kafka: a user's mechanism may be named once. */
static bool is_named_again(
    const struct user_change *c, const altered *out, enum scram_mechanism mechanism)
{
	_Static_assert(SCRAM_SHA_512 < 8, "a mechanism is a bit");
	return *named_of(c, out) & 1U << mechanism;
}

static void mark_begin(struct user_change *c, altered *out, struct str name, int8_t mechanism)
{
	const struct alter_user_scram_credentials_response *r = c->req->response;
	struct user_mark *m = &c->marks[c->count];
	m->result = (uint32_t)(out - r->results.at);
	*named_of(c, out) |= (uint8_t)(1U << mechanism);
	m->key_at = c->bytes.len;
	user_row_key(&c->bytes, name, (enum scram_mechanism)mechanism);
	m->value_at = m->end = c->bytes.len;
}

static enum err add_deletion(struct user_change *c, altered *out,
    const struct alter_user_scram_credentials_request_deletion *in)
{
	const struct users *users = &c->req->broker->auth->users;
	enum scram_mechanism mechanism = (enum scram_mechanism)in->mechanism;
	if (mechanism != SCRAM_SHA_256 && mechanism != SCRAM_SHA_512)
		return err_note(ERR_SASL_MECHANISM, "unknown mechanism %d", in->mechanism);
	if (is_named_again(c, out, mechanism))
		return ERR_DUPLICATE_RESOURCE;
	if (!users_find(users, in->name, mechanism))
		return ERR_RESOURCE_NOT_FOUND;
	mark_begin(c, out, in->name, in->mechanism);
	c->count++;
	return ERR_OK;
}

static enum err add_upsertion(struct user_change *c, altered *out,
    const struct alter_user_scram_credentials_request_upsertion *in)
{
	struct scram_credential credential = {.mechanism = (enum scram_mechanism)in->mechanism,
	    .iterations = in->iterations < 0 ? 0 : (uint32_t)in->iterations,
	    .salt_len = in->salt.len};
	TRY(user_check(in->name, &credential));
	TRY(user_check_name(in->name));
	if (is_named_again(c, out, credential.mechanism))
		return ERR_DUPLICATE_RESOURCE;
	if (c->req->broker->auth->users.count + c->count >= USERS_MAX)
		return err_note(ERR_LIMIT, "%d credentials", USERS_MAX);
	memcpy(credential.salt, in->salt.ptr, in->salt.len);
	if (in->salted_password.len != scram_key_len(credential.mechanism))
		return err_note(ERR_UNACCEPTABLE_CREDENTIAL, "a salted password of %zu bytes",
		    in->salted_password.len);
	TRY(scram_derive(&credential, in->salted_password));
	mark_begin(c, out, in->name, in->mechanism);
	user_row_value(&c->bytes, &credential);
	c->marks[c->count++].end = c->bytes.len;
	OPENSSL_cleanse(&credential, sizeof(credential));
	return c->bytes.err;
}

static enum err add_all(struct user_change *c)
{
	const struct alter_user_scram_credentials_request *body = c->req->body;
	enum err denied = access_cluster(c->req);
	for (uint32_t i = 0; i < body->deletions.count; i++) {
		altered *out = result_of(c, body->deletions.at[i].name);
		if (!out)
			return ERR_NOMEM;
		enum err e =
		    denied != ERR_OK ? denied : add_deletion(c, out, &body->deletions.at[i]);
		if (e != ERR_OK)
			refuse(c, out, e);
	}
	for (uint32_t i = 0; i < body->upsertions.count; i++) {
		altered *out = result_of(c, body->upsertions.at[i].name);
		if (!out)
			return ERR_NOMEM;
		enum err e =
		    denied != ERR_OK ? denied : add_upsertion(c, out, &body->upsertions.at[i]);
		if (e != ERR_OK)
			refuse(c, out, e);
	}
	return c->bytes.err;
}

static void on_altered(struct log_table_put *put)
{
	struct user_change *c = put->user;
	struct alter_user_scram_credentials_response *r = c->req->response;
	for (uint32_t i = 0; i < r->results.count && put->err != ERR_OK; i++)
		refuse(c, &r->results.at[i], put->err);
	request_answer(c->req);
}

/* The rows of users of whom nothing was refused. */
static void put_rows(struct user_change *c)
{
	const struct alter_user_scram_credentials_response *r = c->req->response;
	size_t count = 0;
	for (size_t i = 0; i < c->count; i++) {
		const struct user_mark *m = &c->marks[i];
		struct bytes all = writer_bytes(&c->bytes);
		if (r->results.at[m->result].error_code != 0)
			continue;
		c->rows[count++] =
		    (struct log_row){.key = bytes_slice(all, m->key_at, m->value_at - m->key_at),
		        .value = m->end > m->value_at
		                     ? bytes_slice(all, m->value_at, m->end - m->value_at)
		                     : (struct bytes){NULL, 0}};
	}
	c->put = (struct log_table_put){
	    .rows = c->rows, .row_count = count, .done = on_altered, .user = c};
	if (count > 0)
		log_table_put(c->req->broker->auth->users.table, &c->put);
	else
		request_answer(c->req);
}

void handle_alter_users(struct request *req)
{
	struct user_change *c = change_new(req);
	enum err err = c ? add_all(c) : ERR_NOMEM;
	if (err == ERR_OK)
		put_rows(c);
	if (c)
		change_release(c); /* rows are copied by the put */
	if (err != ERR_OK)
		request_fail(req, ERR_LIMIT);
}
