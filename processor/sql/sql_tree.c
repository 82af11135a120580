/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading libpg_query's protobuf tree: names, options, locations, and its hash.
 *
 * The hash is the identity of logic: SHA-256 over every field of every message by number, type and
 * value, except where the text stood. So formatting and comments do not change it, every literal
 * does. Fields with their default value are left out, as protobuf does.
 */
#include "processor/sql/bind.h"

#include <openssl/evp.h>

struct str tree_string(const PgQuery__Node *n)
{
	if (!n || n->node_case != PG_QUERY__NODE__NODE_STRING)
		return (struct str){NULL, 0};
	return str_of(n->string->sval);
}

struct str tree_name(size_t count, PgQuery__Node *const *names)
{
	if (count == 2 && str_equal(tree_string(names[0]), STR("pg_catalog")))
		return tree_string(names[1]);
	return count == 1 ? tree_string(names[0]) : (struct str){NULL, 0};
}

/* ---- walking by descriptor ------------------------------------------------------------------- */

static bool is_location(const ProtobufCFieldDescriptor *f)
{
	static const char *const names[] = {"location", "stmt_location", "stmt_len"};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strcmp(f->name, names[i]) == 0)
			return true;
	return false;
}

static const void *field_at(const ProtobufCMessage *m, unsigned offset)
{
	return (const uint8_t *)m + offset;
}

/* Values of the field that are set: 0 or 1, or the length of a list. */
static size_t field_count(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
	if (f->label == PROTOBUF_C_LABEL_REPEATED)
		return *(const size_t *)field_at(m, f->quantifier_offset);
	if (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
		return *(const uint32_t *)field_at(m, f->quantifier_offset) == f->id;
	return 1;
}

static const void *field_value(
    const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f, size_t index, size_t width)
{
	if (f->label != PROTOBUF_C_LABEL_REPEATED)
		return field_at(m, f->offset);
	return *(const uint8_t *const *)field_at(m, f->offset) + index * width;
}

static const ProtobufCMessage *field_message(
    const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f, size_t index)
{
	return *(const ProtobufCMessage *const *)field_value(m, f, index, sizeof(void *));
}

int32_t tree_location(const ProtobufCMessage *m)
{
	if (!m)
		return -1;
	const ProtobufCMessageDescriptor *d = m->descriptor;
	const ProtobufCFieldDescriptor *own =
	    protobuf_c_message_descriptor_get_field_by_name(d, "location");
	if (own && *(const int32_t *)field_at(m, own->offset) > 0)
		return *(const int32_t *)field_at(m, own->offset);
	int32_t best = -1;
	for (unsigned i = 0; i < d->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &d->fields[i];
		if (f->type != PROTOBUF_C_TYPE_MESSAGE)
			continue;
		for (size_t k = 0; k < field_count(m, f); k++) {
			int32_t at = tree_location(field_message(m, f, k));
			if (at >= 0 && (best < 0 || at < best))
				best = at;
		}
	}
	return best;
}

int32_t node_location(const PgQuery__Node *n)
{
	return n ? tree_location(&n->base) : -1;
}

/* ---- hash ------------------------------------------------------------------------------------ */

struct tree_hash {
	EVP_MD_CTX *ctx;
	bool failed;
};

enum err tree_hash_new(struct tree_hash **ret_hash)
{
	struct tree_hash *h = mem_calloc(1, sizeof *h);
	if (!h)
		return ERR_NOMEM;
	h->ctx = EVP_MD_CTX_new();
	if (!h->ctx || EVP_DigestInit_ex(h->ctx, EVP_sha256(), NULL) != 1) {
		EVP_MD_CTX_free(h->ctx);
		mem_free(h);
		return ERR_NOMEM;
	}
	*ret_hash = h;
	return ERR_OK;
}

static void hash_raw(struct tree_hash *h, const void *ptr, size_t len)
{
	ASSERT(EVP_DigestUpdate(h->ctx, ptr, len) == 1);
}

static void hash_u64(struct tree_hash *h, uint64_t v)
{
	uint8_t buf[8];
	put_u64_le(buf, v);
	hash_raw(h, buf, sizeof buf);
}

void tree_hash_add_bytes(struct tree_hash *h, struct bytes b)
{
	hash_u64(h, b.len);
	hash_raw(h, b.ptr, b.len);
}

/* A scalar as 64 bits; strings by length and bytes. False when it has its default and is no part of
 * a oneof or list. */
static bool scalar(
    const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f, size_t index, uint64_t *ret_value)
{
	if (f->type == PROTOBUF_C_TYPE_BOOL)
		*ret_value = (uint64_t) * (const protobuf_c_boolean *)field_value(
		                              m, f, index, sizeof(protobuf_c_boolean));
	else if (f->type == PROTOBUF_C_TYPE_INT64 || f->type == PROTOBUF_C_TYPE_UINT64 ||
	         f->type == PROTOBUF_C_TYPE_DOUBLE)
		*ret_value = *(const uint64_t *)field_value(m, f, index, sizeof(uint64_t));
	else
		*ret_value = *(const uint32_t *)field_value(m, f, index, sizeof(uint32_t));
	return *ret_value != 0 || f->label == PROTOBUF_C_LABEL_REPEATED ||
	       (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF);
}

static void hash_field(
    struct tree_hash *h, const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f, size_t index)
{
	uint64_t value = 0;
	if (f->type == PROTOBUF_C_TYPE_MESSAGE) {
		const ProtobufCMessage *sub = field_message(m, f, index);
		if (!sub)
			return;
		hash_u64(h, f->id);
		tree_hash_add(h, sub);
	} else if (f->type == PROTOBUF_C_TYPE_STRING) {
		const char *s = *(const char *const *)field_value(m, f, index, sizeof(char *));
		if (!s || (*s == '\0' && f->label != PROTOBUF_C_LABEL_REPEATED &&
		              !(f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)))
			return;
		hash_u64(h, f->id);
		tree_hash_add_bytes(h, str_bytes(str_of(s)));
	} else if (f->type != PROTOBUF_C_TYPE_BYTES && scalar(m, f, index, &value)) {
		hash_u64(h, f->id);
		hash_u64(h, value);
	}
}

void tree_hash_add(struct tree_hash *h, const ProtobufCMessage *m)
{
	const ProtobufCMessageDescriptor *d = m->descriptor;
	tree_hash_add_bytes(h, str_bytes(str_of(d->short_name)));
	for (unsigned i = 0; i < d->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &d->fields[i];
		size_t count = is_location(f) ? 0 : field_count(m, f);
		for (size_t k = 0; k < count; k++)
			hash_field(h, m, f, k);
	}
	hash_u64(h, 0); /* no field has number 0: the end of a message */
}

void tree_hash_finish(struct tree_hash *h, uint8_t ret_digest[32])
{
	unsigned len = 0;
	ASSERT(EVP_DigestFinal_ex(h->ctx, ret_digest, &len) == 1 && len == 32);
	EVP_MD_CTX_free(h->ctx);
	mem_free(h);
}

/* ---- options --------------------------------------------------------------------------------- */

static enum err option_type_name(struct binder *b, const PgQuery__DefElem *d, struct str *ret_value)
{
	const PgQuery__TypeName *t = d->arg->type_name;
	if (t->n_names == 0 || t->n_typmods || t->n_array_bounds || t->setof || t->pct_type)
		return bind_fail(b, d->location, ERR_SQL_SYNTAX,
		    "option \"%s\" needs a word, a string or a number", d->defname);
	/* event_time = ts parses as a type name, and some words (time, interval) as a built-in one
	 */
	return bind_copy(b, tree_string(t->names[t->n_names - 1]), ret_value);
}

enum err tree_option(struct binder *b, const PgQuery__DefElem *d, struct str *ret_value)
{
	if (!d->arg)
		return bind_copy(b, STR("true"), ret_value);
	if (d->arg->node_case == PG_QUERY__NODE__NODE_STRING)
		return bind_copy(b, str_of(d->arg->string->sval), ret_value);
	if (d->arg->node_case == PG_QUERY__NODE__NODE_FLOAT)
		return bind_copy(b, str_of(d->arg->float_->fval), ret_value);
	if (d->arg->node_case == PG_QUERY__NODE__NODE_TYPE_NAME)
		return option_type_name(b, d, ret_value);
	if (d->arg->node_case == PG_QUERY__NODE__NODE_BOOLEAN)
		return bind_copy(
		    b, d->arg->boolean->boolval ? STR("true") : STR("false"), ret_value);
	if (d->arg->node_case == PG_QUERY__NODE__NODE_INTEGER) {
		char *text = arena_printf(b->arena, "%d", d->arg->integer->ival);
		*ret_value = str_of(text);
		return text ? ERR_OK : bind_nomem(b);
	}
	return bind_fail(b, d->location, ERR_SQL_SYNTAX,
	    "option \"%s\" needs a word, a string or a number", d->defname);
}
