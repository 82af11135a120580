/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DescribeAcls, CreateAcls, DeleteAcls 1-3. The entries of one request are one batch of the table:
 * all or none of those that are well-formed; answered when durable and in force.
 */
#include "broker/auth/auth.h"
#include "broker/auth/handlers.h"
#include "broker/kafka/handlers.h"

/* What an Alter request waits for. */
struct acl_change {
	struct log_table_put put;
	struct request *req;
	struct writer keys; /* of the rows, one behind the other */
	struct log_row *rows;
	size_t *key_at; /* where each row's key begins */
	size_t count, capacity;
};

static struct acl_change *change_new(struct request *req, size_t capacity)
{
	struct acl_change *c = request_alloc(req, sizeof(*c));
	if (!c)
		return NULL;
	c->req = req;
	c->capacity = capacity;
	c->rows = request_alloc(req, capacity * sizeof(*c->rows));
	c->key_at = request_alloc(req, capacity * sizeof(*c->key_at));
	writer_init(&c->keys, 64 * MIB);
	return c->rows && c->key_at ? c : NULL;
}

static void change_add(struct acl_change *c, const struct acl *acl)
{
	ASSERT(c->count < c->capacity);
	c->key_at[c->count++] = c->keys.len;
	acl_row_key(&c->keys, acl);
}

/* Starts the put; false when there is nothing to put, or *ret_err says why not. */
static bool change_start(struct acl_change *c, struct bytes value,
    void (*done)(struct log_table_put *put), enum err *ret_err)
{
	*ret_err = c->keys.err;
	for (size_t i = 0; i < c->count && *ret_err == ERR_OK; i++) {
		size_t end = i + 1 < c->count ? c->key_at[i + 1] : c->keys.len;
		c->rows[i].key =
		    bytes_slice(writer_bytes(&c->keys), c->key_at[i], end - c->key_at[i]);
		c->rows[i].value = value;
	}
	if (c->count > 0 && *ret_err == ERR_OK) {
		c->put = (struct log_table_put){
		    .rows = c->rows, .row_count = c->count, .done = done, .user = c};
		log_table_put(c->req->broker->auth->acl_table, &c->put);
	}
	writer_release(&c->keys);
	return c->count > 0 && *ret_err == ERR_OK;
}

/* ---- CreateAcls ------------------------------------------------------------------------------ */

static void set_results(struct request *req, enum err err, bool all)
{
	struct create_acls_response *r = req->response;
	for (uint32_t i = 0; i < r->results.count; i++) {
		struct create_acls_response_result *out = &r->results.at[i];
		if (out->error_code != 0 && !all)
			continue;
		out->error_code = err_kafka(err);
		out->error_message = request_error_text(req, err);
	}
	err_clear();
}

static void on_created(struct log_table_put *put)
{
	struct acl_change *c = put->user;
	if (put->err != ERR_OK)
		set_results(c->req, put->err, false);
	request_answer(c->req);
}

static struct acl creation_of(const struct create_acls_request_creation *in)
{
	return (struct acl){
	    .resource = (uint8_t)in->resource_type,
	    .pattern = (uint8_t)in->resource_pattern_type,
	    .operation = (uint8_t)in->operation,
	    .permission = (uint8_t)in->permission_type,
	    .name = in->resource_name,
	    .principal = in->principal,
	    .host = in->host,
	};
}

static enum err add_creation(struct acl_change *c, const struct create_acls_request_creation *in)
{
	struct acl acl = creation_of(in);
	char text[ACL_HOST_MAX];
	TRY(acl_check(&acl));
	TRY(acl_host_read(acl.host, text, &acl.host));
	if (c->req->broker->auth->acls.count + c->count >= ACLS_MAX)
		return err_note(ERR_LIMIT, "%d access-list entries", ACLS_MAX);
	change_add(c, &acl);
	return ERR_OK;
}

void handle_create_acls(struct request *req)
{
	const struct create_acls_request *body = req->body;
	struct create_acls_response *r = req->response;
	uint32_t count = body->creations.count;
	struct acl_change *c = change_new(req, count);
	r->results.at = request_new(req, &create_acls_response_result_shape, count);
	if (!c || !r->results.at) {
		request_fail(req, ERR_LIMIT);
		return;
	}
	r->results.count = count;
	enum err err = access_cluster(req);
	if (err != ERR_OK)
		set_results(req, err, true);
	for (uint32_t i = 0; i < count && err == ERR_OK; i++) {
		enum err e = add_creation(c, &body->creations.at[i]);
		if (e == ERR_OK)
			continue;
		r->results.at[i].error_code = err_kafka(e);
		r->results.at[i].error_message = request_error_text(req, e);
		err_clear();
	}
	if (change_start(c, acl_row_value(), on_created, &err))
		return;
	if (err != ERR_OK)
		set_results(req, err, false);
	request_answer(req);
}

/* ---- DeleteAcls ------------------------------------------------------------------------------ */

enum { DELETE_WORK_MAX = 200000 }; /* entries that the filters of one request may look at */

static void fail_filters(struct request *req, enum err err, bool all)
{
	struct delete_acls_response *r = req->response;
	for (uint32_t i = 0; i < r->filter_results.count; i++) {
		struct delete_acls_response_filter_result *out = &r->filter_results.at[i];
		if (out->error_code != 0 && !all)
			continue;
		out->error_code = err_kafka(err);
		out->error_message = request_error_text(req, err);
		out->matching_acls.count = 0;
	}
	err_clear();
}

static void on_deleted(struct log_table_put *put)
{
	struct acl_change *c = put->user;
	if (put->err != ERR_OK)
		fail_filters(c->req, put->err, false);
	request_answer(c->req);
}

/* The host in a filter, spelled as entries are; what is no address stays as it is. */
static struct str filter_host(struct request *req, struct str host)
{
	char text[ACL_HOST_MAX];
	struct str read, copy;
	if (!host.ptr || acl_host_read(host, text, &read) != ERR_OK) {
		err_clear();
		return host;
	}
	copy = arena_copy_str(&req->arena, read);
	return copy.ptr ? copy : host;
}

static struct acl_filter deletion_of(
    struct request *req, const struct delete_acls_request_filter *in)
{
	return (struct acl_filter){
	    .resource = (uint8_t)in->resource_type_filter,
	    .pattern = (uint8_t)in->pattern_type_filter,
	    .operation = (uint8_t)in->operation,
	    .permission = (uint8_t)in->permission_type,
	    .name = in->resource_name_filter,
	    .principal = in->principal_filter,
	    .host = filter_host(req, in->host_filter),
	};
}

/* The entry's strings go with it: copied into the request. */
static bool fill_match(
    struct request *req, const struct acl *a, struct delete_acls_response_matching_acl *out)
{
	out->resource_type = (int8_t)a->resource;
	out->pattern_type = (int8_t)a->pattern;
	out->operation = (int8_t)a->operation;
	out->permission_type = (int8_t)a->permission;
	out->resource_name = arena_copy_str(&req->arena, a->name);
	out->principal = arena_copy_str(&req->arena, a->principal);
	out->host = arena_copy_str(&req->arena, a->host);
	return out->resource_name.ptr && out->principal.ptr && out->host.ptr;
}

/* All that a filter takes is told and marked in `gone`. False: no memory. */
static bool fill_filter(struct request *req, const struct acl_filter *f, bool *gone,
    struct delete_acls_response_filter_result *out)
{
	const struct acl_set *set = &req->broker->auth->acls;
	size_t first = 0, matches = 0, count = acl_set_range(set, f, &first);
	for (size_t i = first; i < first + count; i++)
		matches += acl_filter_matches(f, set->at[i]);
	out->matching_acls.at = request_new(req, &delete_acls_response_matching_acl_shape, matches);
	if (!out->matching_acls.at)
		return false;
	for (size_t i = first; i < first + count && out->matching_acls.count < matches; i++) {
		if (!acl_filter_matches(f, set->at[i]))
			continue;
		gone[i] = true;
		if (!fill_match(
		        req, set->at[i], &out->matching_acls.at[out->matching_acls.count++]))
			return false;
	}
	return true;
}

/* What no filter of its own error needs. LIMIT: they would have to look at too much. */
static enum err check_filters(struct request *req, struct acl_filter *filters, uint32_t count)
{
	const struct delete_acls_request *body = req->body;
	struct delete_acls_response *r = req->response;
	size_t work = 0, first;
	for (uint32_t i = 0; i < count; i++) {
		filters[i] = deletion_of(req, &body->filters.at[i]);
		enum err err = acl_filter_check(&filters[i]);
		if (err == ERR_OK) {
			work += acl_set_range(&req->broker->auth->acls, &filters[i], &first);
			continue;
		}
		r->filter_results.at[i].error_code = err_kafka(err);
		r->filter_results.at[i].error_message = request_error_text(req, err);
		err_clear();
	}
	if (work > DELETE_WORK_MAX)
		return err_note(ERR_INVALID_REQUEST,
		    "filters that look at %zu entries, at most %d: name resources, or send fewer",
		    work, DELETE_WORK_MAX);
	return ERR_OK;
}

/* Fills in what is to go, one tombstone for each entry that some filter takes. NULL: no memory. */
static struct acl_change *prepare_deletion(
    struct request *req, const struct acl_filter *filters, uint32_t count)
{
	const struct acl_set *set = &req->broker->auth->acls;
	struct delete_acls_response *r = req->response;
	bool *gone = request_alloc(req, set->count * sizeof(*gone));
	if (!gone)
		return NULL;
	for (uint32_t i = 0; i < count; i++) {
		if (r->filter_results.at[i].error_code != 0) {
			r->filter_results.at[i].matching_acls.at =
			    request_new(req, &delete_acls_response_matching_acl_shape, 0);
			continue;
		}
		if (!fill_filter(req, &filters[i], gone, &r->filter_results.at[i]))
			return NULL;
	}
	struct acl_change *c = change_new(req, set->count);
	for (size_t i = 0; c && i < set->count; i++)
		if (gone[i])
			change_add(c, set->at[i]);
	return c;
}

void handle_delete_acls(struct request *req)
{
	const struct delete_acls_request *body = req->body;
	struct delete_acls_response *r = req->response;
	uint32_t count = body->filters.count;
	enum err err = access_cluster(req);
	r->filter_results.at = request_new(req, &delete_acls_response_filter_result_shape, count);
	if (!r->filter_results.at) {
		request_fail(req, ERR_LIMIT);
		return;
	}
	r->filter_results.count = count;
	struct acl_filter *filters = request_alloc(req, count * sizeof(*filters));
	if (!filters) {
		request_fail(req, ERR_LIMIT);
		return;
	}
	if (err == ERR_OK)
		err = check_filters(req, filters, count);
	if (err != ERR_OK) {
		fail_filters(req, err, true);
		request_answer(req);
		return;
	}
	struct acl_change *c = prepare_deletion(req, filters, count);
	if (!c) {
		request_fail(req, ERR_LIMIT);
		return;
	}
	if (change_start(c, (struct bytes){NULL, 0}, on_deleted, &err))
		return;
	if (err != ERR_OK)
		fail_filters(req, err, false);
	request_answer(req);
}

/* ---- DescribeAcls ---------------------------------------------------------------------------- */

static bool same_place(const struct acl *a, const struct acl *b)
{
	return a && a->resource == b->resource && a->pattern == b->pattern &&
	       str_equal(a->name, b->name);
}

/* Calls for each match in order; what is of one resource follows each other. */
static void count_places(
    const struct acl_set *set, const struct acl_filter *f, size_t *ret_places, size_t *ret_acls)
{
	const struct acl *last = NULL;
	*ret_places = *ret_acls = 0;
	for (size_t i = 0; i < set->count; i++) {
		if (!acl_filter_matches(f, set->at[i]))
			continue;
		*ret_places += !same_place(last, set->at[i]);
		*ret_acls += 1;
		last = set->at[i];
	}
}

/* The answer is encoded before anything can change the set: its strings are borrowed. */
static bool fill_description(struct request *req, const struct acl_filter *f)
{
	const struct acl_set *set = &req->broker->auth->acls;
	struct describe_acls_response *r = req->response;
	size_t places, acls;
	const struct acl *last = NULL;
	count_places(set, f, &places, &acls);
	r->resources.at = request_new(req, &describe_acls_response_resource_shape, places);
	struct describe_acls_response_acl *next =
	    request_new(req, &describe_acls_response_acl_shape, acls);
	if (!r->resources.at || !next)
		return false;
	for (size_t i = 0; i < set->count; i++) {
		const struct acl *a = set->at[i];
		if (!acl_filter_matches(f, a))
			continue;
		if (!same_place(last, a)) {
			struct describe_acls_response_resource *place =
			    &r->resources.at[r->resources.count++];
			place->resource_type = (int8_t)a->resource;
			place->pattern_type = (int8_t)a->pattern;
			place->resource_name = a->name;
			place->acls.at = next;
		}
		r->resources.at[r->resources.count - 1].acls.count++;
		*next++ = (struct describe_acls_response_acl){.principal = a->principal,
		    .host = a->host,
		    .operation = (int8_t)a->operation,
		    .permission_type = (int8_t)a->permission};
		last = a;
	}
	return true;
}

void handle_describe_acls(struct request *req)
{
	const struct describe_acls_request *body = req->body;
	struct describe_acls_response *r = req->response;
	struct acl_filter f = {
	    .resource = (uint8_t)body->resource_type_filter,
	    .pattern = (uint8_t)body->pattern_type_filter,
	    .operation = (uint8_t)body->operation,
	    .permission = (uint8_t)body->permission_type,
	    .name = body->resource_name_filter,
	    .principal = body->principal_filter,
	    .host = filter_host(req, body->host_filter),
	};
	enum err err = acl_filter_check(&f);
	if (err != ERR_OK) {
		r->error_code = err_kafka(err);
		r->error_message = request_error_text(req, err);
		err_clear();
	} else if (!fill_description(req, &f)) {
		request_fail(req, ERR_LIMIT);
		return;
	}
	request_answer(req);
}
