/* SPDX-License-Identifier: Apache-2.0 */
/* Opening the access lists and users, the lists' rows, and the verdict over a principal. See
 * auth.h. */
#include "broker/auth/auth.h"

enum { ACL_ROW_VERSION = 0 };

/* ---- rows ------------------------------------------------------------------------------------ */

static void write_counted(struct writer *w, struct str s)
{
	ASSERT(s.len <= UINT16_MAX);
	write_u16_be(w, (uint16_t)s.len);
	write_str(w, s);
}

static struct str read_counted(struct reader *r)
{
	uint16_t len = read_u16_be(r);
	return bytes_str(read_bytes(r, len));
}

void acl_row_key(struct writer *w, const struct acl *a)
{
	write_u8(w, ACL_ROW_VERSION);
	write_u8(w, a->resource);
	write_u8(w, a->pattern);
	write_u8(w, a->operation);
	write_u8(w, a->permission);
	write_counted(w, a->name);
	write_counted(w, a->principal);
	write_counted(w, a->host);
}

enum err acl_row_read(struct bytes key, struct acl *ret_acl)
{
	struct reader r = reader_of(key);
	uint8_t version = read_u8(&r);
	struct acl a;
	if (!r.bad && version != ACL_ROW_VERSION)
		return err_note(ERR_NEWER_FORMAT, "access-list entry of version %u", version);
	a.resource = read_u8(&r);
	a.pattern = read_u8(&r);
	a.operation = read_u8(&r);
	a.permission = read_u8(&r);
	a.name = read_counted(&r);
	a.principal = read_counted(&r);
	a.host = read_counted(&r);
	a.address = (struct str){NULL, 0};
	if (r.bad || reader_left(&r) > 0 || acl_check(&a) != ERR_OK)
		return err_note(ERR_CORRUPT, "access-list entry of %zu bytes", key.len);
	*ret_acl = a;
	return ERR_OK;
}

struct bytes acl_row_value(void)
{
	static const uint8_t value[1] = {ACL_ROW_VERSION};
	return bytes_of(value, sizeof(value));
}

static enum err apply(
    void *ctx, int32_t partition, struct bytes key, struct bytes value, int64_t timestamp_ms)
{
	struct auth *auth = ctx;
	struct acl a;
	(void)partition;
	(void)timestamp_ms;
	TRY(acl_row_read(key, &a));
	if (value.ptr)
		TRY(acl_set_add(&auth->acls, &a));
	else
		acl_set_remove(&auth->acls, &a);
	auth->acls_version++;
	shared_store(&auth->restricted, auth_restricts(auth));
	return ERR_OK;
}

static void snapshot(void *ctx, int32_t partition,
    void (*emit)(void *emit_ctx, struct bytes key, struct bytes value), void *emit_ctx)
{
	const struct auth *auth = ctx;
	struct writer w;
	(void)partition;
	writer_init(&w, 64 * KIB);
	for (size_t i = 0; i < auth->acls.count; i++) {
		writer_clear(&w);
		acl_row_key(&w, auth->acls.at[i]);
		ASSERT(w.err == ERR_OK); /* half a snapshot would open what was closed */
		emit(emit_ctx, writer_bytes(&w), acl_row_value());
	}
	writer_release(&w);
}

/* ---- life cycle ------------------------------------------------------------------------------ */

/* The next of "a;b;c"; false at the end. */
static bool next_user(struct str *rest, struct str *ret_user)
{
	size_t n = 0;
	if (rest->len == 0)
		return false;
	while (n < rest->len && rest->ptr[n] != ';')
		n++;
	*ret_user = str_from(rest->ptr, n);
	*rest = str_from(rest->ptr + n + (n < rest->len), rest->len - n - (n < rest->len));
	return true;
}

static enum err take_super_users(struct auth *auth, const char *list)
{
	struct str user, rest = str_of(list);
	while (next_user(&rest, &user)) {
		if (user.len <= 5 || memcmp(user.ptr, "User:", 5) != 0 ||
		    str_equal(user, ACL_EVERYBODY))
			return err_note(ERR_INVALID,
			    "super.users=%s: names as User:NAME, with ; between", list);
	}
	auth->super_users = mem_strdup(str_of(list));
	return auth->super_users ? ERR_OK : ERR_NOMEM;
}

static enum err start(struct auth *auth, const struct auth_options *o)
{
	static const struct log_table_ops ops = {.apply = apply, .snapshot = snapshot};
	auth->authenticated = o->authenticated;
	auth->open = o->allow_if_no_acl == 0 ? !o->authenticated : o->allow_if_no_acl > 0;
	shared_store(&auth->restricted, auth_restricts(auth));
	TRY(take_super_users(auth, o->super_users ? o->super_users : ""));
	TRY(log_table_open(auth->log, STR("__kappa_acls"), 1, &ops, auth, &auth->acl_table));
	TRY(users_open(&auth->users, auth->log));
	return o->authenticated ? users_make_secret(&auth->users, o->io) : ERR_OK;
}

enum err auth_open(struct log *log, const struct auth_options *options, struct auth **ret_auth)
{
	struct auth *auth = mem_calloc(1, sizeof(*auth));
	if (!auth)
		return ERR_NOMEM;
	auth->log = log;
	enum err err = start(auth, options);
	if (err != ERR_OK) {
		auth_close(auth);
		return err;
	}
	*ret_auth = auth;
	return ERR_OK;
}

void auth_close(struct auth *auth)
{
	if (!auth)
		return;
	if (auth->acl_table)
		log_table_close(auth->acl_table);
	users_close(&auth->users);
	acl_set_release(&auth->acls);
	mem_free(auth->super_users);
	mem_free(auth);
}

/* ---- verdicts -------------------------------------------------------------------------------- */

bool auth_is_super(const struct auth *auth, struct str principal)
{
	struct str user, rest = str_of(auth->super_users);
	while (next_user(&rest, &user)) {
		if (str_equal(user, principal))
			return true;
	}
	return false;
}

bool auth_allows(const struct auth *auth, const struct acl_query *q)
{
	enum acl_verdict verdict = acl_set_judge(&auth->acls, q);
	if (verdict == ACL_VERDICT_ALLOW || (verdict == ACL_VERDICT_NONE && auth->open))
		return true;
	return auth_is_super(auth, q->principal);
}

bool auth_allows_some(const struct auth *auth, const struct acl_query *q)
{
	struct acl_query any = *q;
	any.name = STR("*");
	return auth_allows(auth, &any) || acl_set_allows_some(&auth->acls, q);
}

bool auth_sees(const struct auth *auth, struct str viewer, struct str topic)
{
	const char *end = viewer.len > 0 ? memchr(viewer.ptr, '\n', viewer.len) : NULL;
	if (viewer.len == 0 || !auth_restricts(auth))
		return true;
	if (!end)
		return false;
	size_t host = (size_t)(end - viewer.ptr);
	struct acl_query q = {.principal = str_from(end + 1, viewer.len - host - 1),
	    .host = str_from(viewer.ptr, host),
	    .operation = ACL_DESCRIBE,
	    .resource = ACL_TOPIC,
	    .name = topic};
	return auth_allows(auth, &q);
}
