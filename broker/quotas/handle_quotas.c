/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DescribeClientQuotas and AlterClientQuotas 0-1. The well-formed entries of one request are one
 * batch of the table, durable and in force when they are answered.
 */
#include "broker/auth/access.h"
#include "broker/kafka/handlers.h"
#include "broker/quotas/handlers.h"
#include "broker/quotas/quotas.h"
#include <math.h>
#include <stdlib.h>

/* ---- DescribeClientQuotas -------------------------------------------------------------------- */

enum { MATCH_EXACT, MATCH_DEFAULT, MATCH_ANY };
struct filter {
	bool strict;
	const struct describe_client_quotas_request_component *user, *client, *address;
};

static enum err filter_read(const struct describe_client_quotas_request *body, struct filter *ret)
{
	*ret = (struct filter){.strict = body->strict};
	for (uint32_t i = 0; i < body->components.count; i++) {
		const struct describe_client_quotas_request_component *c = &body->components.at[i];
		bool user = str_equal(c->entity_type, STR("user"));
		bool client = str_equal(c->entity_type, STR("client-id"));
		bool address = str_equal(c->entity_type, STR("ip"));
		if ((user && ret->user) || (client && ret->client) || (address && ret->address))
			return err_note(ERR_INVALID_REQUEST, "entity type " STR_FMT " twice",
			    STR_ARG(c->entity_type));
		if (c->match_type < MATCH_EXACT || c->match_type > MATCH_ANY ||
		    (c->match_type == MATCH_EXACT) != (c->match.ptr != NULL))
			return err_note(ERR_INVALID_REQUEST, "match type %d, and what it matches",
			    c->match_type);
		if (user)
			ret->user = c;
		else if (client)
			ret->client = c;
		else if (address)
			ret->address = c;
		else
			return err_note(ERR_UNSUPPORTED_VERSION,
			    "entity type " STR_FMT ": user, client-id or ip",
			    STR_ARG(c->entity_type));
	}
	if (ret->address && (ret->user || ret->client))
		return err_note(ERR_INVALID_REQUEST, "ip stands alone");
	return ERR_OK;
}

static bool half_matches(const struct describe_client_quotas_request_component *c, bool strict,
    enum quota_who who, struct str name)
{
	if (!c)
		return !strict || who == QUOTA_ABSENT;
	if (c->match_type == MATCH_EXACT)
		return who == QUOTA_NAMED && str_equal(name, c->match);
	return c->match_type == MATCH_DEFAULT ? who == QUOTA_DEFAULT : who != QUOTA_ABSENT;
}

static bool pair_matches(const struct filter *f, const struct quota *q)
{
	return half_matches(f->user, f->strict, q->who.user_is, q->who.user) &&
	       half_matches(f->client, f->strict, q->who.client_is, q->who.client);
}

static bool matches(const struct filter *f, const struct quota *q)
{
	const struct describe_client_quotas_request_component *a = f->address;
	if (!quota_who_is_address(q->who.user_is))
		return !a && pair_matches(f, q);
	if (!a)
		return !f->user && !f->client && !f->strict;
	if (a->match_type == MATCH_ANY)
		return true;
	if (a->match_type == MATCH_DEFAULT)
		return q->who.user_is == QUOTA_ADDRESS_DEFAULT;
	char text[ACL_HOST_MAX];
	struct str host = a->match;
	if (acl_host_read(a->match, text, &host) != ERR_OK)
		err_clear();
	return q->who.user_is == QUOTA_ADDRESS && str_equal(q->who.user, host);
}

static int by_key(const void *a, const void *b)
{
	const struct quota *const *x = a, *const *y = b;
	return bytes_compare(
	    bytes_of((*x)->key, (*x)->key_len), bytes_of((*y)->key, (*y)->key_len));
}

static bool fill_entry(
    struct request *req, const struct quota *q, struct describe_client_quotas_response_entry *out)
{
	out->entity.at = request_new(req, &describe_client_quotas_response_entity_shape, 2);
	out->values.at =
	    request_new(req, &describe_client_quotas_response_value_shape, QUOTA_KINDS);
	if (!out->entity.at || !out->values.at)
		return false;
	if (q->who.user_is != QUOTA_ABSENT)
		out->entity.at[out->entity.count++] =
		    (struct describe_client_quotas_response_entity){
		        quota_who_is_address(q->who.user_is) ? STR("ip") : STR("user"),
		        quota_who_is_named(q->who.user_is) ? q->who.user : (struct str){NULL, 0}};
	if (q->who.client_is != QUOTA_ABSENT)
		out->entity.at[out->entity.count++] =
		    (struct describe_client_quotas_response_entity){STR("client-id"),
		        q->who.client_is == QUOTA_NAMED ? q->who.client : (struct str){NULL, 0}};
	for (int kind = 0; kind < QUOTA_KINDS; kind++)
		if (q->rate[kind] > 0)
			out->values.at[out->values.count++] =
			    (struct describe_client_quotas_response_value){
			        str_of(quota_specs[kind].name), q->rate[kind]};
	return true;
}

static bool fill_entries(struct request *req, const struct filter *f)
{
	struct describe_client_quotas_response *r = req->response;
	const struct quotas *all = req->broker->quotas;
	const struct quota **found = request_alloc(req, all->at.count * sizeof(*found)), *q;
	size_t cursor = 0, count = 0;
	if (!found)
		return false;
	while ((q = map_next(&all->at, &cursor)))
		if (matches(f, q))
			found[count++] = q;
	if (count > 0)
		qsort(found, count, sizeof(*found), by_key);
	r->entries.at = request_new(req, &describe_client_quotas_response_entry_shape, count);
	if (!r->entries.at)
		return false;
	for (; r->entries.count < count; r->entries.count++)
		if (!fill_entry(req, found[r->entries.count], &r->entries.at[r->entries.count]))
			return false;
	return true;
}

void handle_describe_client_quotas(struct request *req)
{
	struct describe_client_quotas_response *r = req->response;
	struct filter f;
	enum err err = filter_read(req->body, &f);
	if (err != ERR_OK) {
		r->error_code = err_kafka(err);
		r->error_message = request_error_text(req, err);
		r->entries.at = NULL;
		err_clear();
	} else if (!fill_entries(req, &f)) {
		request_fail(req, ERR_LIMIT);
		return;
	}
	request_answer(req);
}

/* ---- AlterClientQuotas ----------------------------------------------------------------------- */

struct quota_change {
	struct log_table_put put;
	struct request *req;
	struct log_row *rows;
	size_t count;
	size_t added; /* at most so many entities that had none */
};

/* An address in the spelling that connections have. */
static enum err address_read(struct request *req, struct str name, struct quota_entity *ret)
{
	char text[ACL_HOST_MAX];
	struct str host;
	ret->user_is = name.ptr ? QUOTA_ADDRESS : QUOTA_ADDRESS_DEFAULT;
	if (!name.ptr)
		return ERR_OK;
	TRY(acl_host_read(name, text, &host));
	if (str_equal(host, STR("*")))
		return err_note(ERR_INVALID_REQUEST, "the default of addresses has no name");
	ret->user = arena_copy_str(&req->arena, host);
	return ret->user.ptr ? ERR_OK : ERR_NOMEM;
}

static enum err entity_read(struct request *req, const struct alter_client_quotas_request_entry *in,
    struct quota_entity *ret)
{
	*ret = (struct quota_entity){0};
	for (uint32_t i = 0; i < in->entity.count; i++) {
		const struct alter_client_quotas_request_entity *e = &in->entity.at[i];
		if (str_equal(e->entity_type, STR("ip"))) {
			if (in->entity.count > 1)
				return err_note(ERR_INVALID_REQUEST, "ip stands alone");
			return address_read(req, e->entity_name, ret);
		}
		bool user = str_equal(e->entity_type, STR("user"));
		if (!user && !str_equal(e->entity_type, STR("client-id")))
			return err_note(ERR_UNSUPPORTED_VERSION,
			    "quotas of " STR_FMT " do not exist here: user, client-id or ip",
			    STR_ARG(e->entity_type));
		enum quota_who *who = user ? &ret->user_is : &ret->client_is;
		if (*who != QUOTA_ABSENT)
			return err_note(ERR_INVALID_REQUEST, "entity type " STR_FMT " twice",
			    STR_ARG(e->entity_type));
		*who = e->entity_name.ptr ? QUOTA_NAMED : QUOTA_DEFAULT;
		if (e->entity_name.ptr &&
		    (e->entity_name.len == 0 || e->entity_name.len > QUOTA_NAME_MAX))
			return err_note(ERR_INVALID_REQUEST, "an entity's name has 1 to %d bytes",
			    QUOTA_NAME_MAX);
		*(user ? &ret->user : &ret->client) = e->entity_name;
	}
	return in->entity.count > 0 ? ERR_OK : err_note(ERR_INVALID_REQUEST, "a quota of nobody");
}

static enum err op_read(const struct alter_client_quotas_request_op *op, enum quota_kind *ret_kind)
{
	for (int kind = 0; kind < QUOTA_KINDS; kind++) {
		const struct quota_spec *spec = &quota_specs[kind];
		if (!str_equal(op->key, str_of(spec->name)))
			continue;
		*ret_kind = (enum quota_kind)kind;
		bool good = op->remove ||
		            (isfinite(op->value) && op->value >= spec->min && op->value <= 1e15);
		return good ? ERR_OK
		            : err_note(ERR_INVALID_REQUEST, "%s is %s, from %g", spec->name,
		                  spec->unit, spec->min);
	}
	return err_note(ERR_INVALID_REQUEST,
	    "quota " STR_FMT " does not exist here: producer_byte_rate, consumer_byte_rate, "
	    "request_percentage, controller_mutation_rate, connection_creation_rate",
	    STR_ARG(op->key));
}

static enum err op_add(struct quota_change *c, const struct quota_entity *who,
    const struct alter_client_quotas_request_op *op)
{
	enum quota_kind kind = QUOTA_PRODUCE;
	struct writer w;
	TRY(op_read(op, &kind));
	if (quota_who_is_address(who->user_is) != (kind == QUOTA_CONNECT))
		return err_note(ERR_INVALID_REQUEST,
		    "connection_creation_rate is an ip's quota, and its only one");
	writer_init(&w, 4 * KIB);
	quota_row_key(&w, kind, who);
	size_t key_len = w.len;
	quota_row_value(&w, op->value);
	struct bytes row = w.err == ERR_OK ? arena_copy(&c->req->arena, writer_bytes(&w))
	                                   : (struct bytes){NULL, 0};
	writer_release(&w);
	if (!row.ptr)
		return ERR_NOMEM;
	c->rows[c->count++] = (struct log_row){.key = bytes_slice(row, 0, key_len),
	    .value = op->remove ? (struct bytes){NULL, 0}
	                        : bytes_slice(row, key_len, row.len - key_len)};
	c->added += !op->remove && !quota_at(c->req->broker->quotas, who);
	return c->req->broker->quotas->at.count + c->added > QUOTAS_MAX
	           ? err_note(ERR_LIMIT, "at most %d quotas", QUOTAS_MAX)
	           : ERR_OK;
}

/* The rows of one entry, all or none. */
static enum err entry_add(
    struct quota_change *c, const struct alter_client_quotas_request_entry *in)
{
	struct quota_entity who;
	size_t count = c->count, added = c->added;
	enum err err = entity_read(c->req, in, &who);
	for (uint32_t i = 0; i < in->ops.count && err == ERR_OK; i++)
		err = op_add(c, &who, &in->ops.at[i]);
	if (err != ERR_OK) {
		c->count = count;
		c->added = added;
	}
	return err;
}

static void entry_fail(struct request *req, uint32_t i, enum err err)
{
	struct alter_client_quotas_response *r = req->response;
	r->entries.at[i].error_code = err_kafka(err);
	r->entries.at[i].error_message = request_error_text(req, err);
	err_clear();
}

static void on_altered(struct log_table_put *put)
{
	struct quota_change *c = put->user;
	struct alter_client_quotas_response *r = c->req->response;
	for (uint32_t i = 0; put->err != ERR_OK && i < r->entries.count; i++)
		if (r->entries.at[i].error_code == 0)
			entry_fail(c->req, i, put->err);
	request_answer(c->req);
}

/* NULL: no memory. */
static struct quota_change *change_new(struct request *req)
{
	const struct alter_client_quotas_request *body = req->body;
	struct alter_client_quotas_response *r = req->response;
	size_t ops = 0;
	for (uint32_t i = 0; i < body->entries.count; i++)
		ops += body->entries.at[i].ops.count;
	struct quota_change *c = request_alloc(req, sizeof(*c));
	struct log_row *rows = request_alloc(req, ops * sizeof(*rows));
	r->entries.at =
	    request_new(req, &alter_client_quotas_response_entry_shape, body->entries.count);
	if (!c || !rows || !r->entries.at)
		return NULL;
	c->req = req;
	c->rows = rows;
	r->entries.count = body->entries.count;
	for (uint32_t i = 0; i < body->entries.count; i++) {
		const struct alter_client_quotas_request_entry *in = &body->entries.at[i];
		struct alter_client_quotas_response_entry *out = &r->entries.at[i];
		out->entity.at =
		    request_new(req, &alter_client_quotas_response_entity_shape, in->entity.count);
		if (!out->entity.at)
			return NULL;
		for (uint32_t k = 0; k < in->entity.count; k++)
			out->entity.at[out->entity.count++] =
			    (struct alter_client_quotas_response_entity){
			        in->entity.at[k].entity_type, in->entity.at[k].entity_name};
	}
	return c;
}

void handle_alter_client_quotas(struct request *req)
{
	const struct alter_client_quotas_request *body = req->body;
	struct quota_change *c = change_new(req);
	if (!c) {
		request_fail(req, ERR_LIMIT);
		return;
	}
	enum err denied = access_cluster(req);
	for (uint32_t i = 0; i < body->entries.count; i++) {
		enum err err = denied != ERR_OK ? denied : entry_add(c, &body->entries.at[i]);
		if (err != ERR_OK)
			entry_fail(req, i, err);
	}
	if (c->count == 0 || body->validate_only) {
		request_answer(req);
		return;
	}
	c->put = (struct log_table_put){
	    .rows = c->rows, .row_count = c->count, .done = on_altered, .user = c};
	log_table_put(req->broker->quotas->table, &c->put);
}
