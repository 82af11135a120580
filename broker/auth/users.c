/* SPDX-License-Identifier: Apache-2.0 */
/* The table of credentials. See users.h. */
#include "broker/auth/users.h"
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

enum { USER_ROW_VERSION = 0, USER_ROW_MAX = 512, SECRET_MECHANISM = 0 };

/* ---- rows ------------------------------------------------------------------------------------ */

enum err user_check(struct str name, const struct scram_credential *c)
{
	if (name.len == 0 || name.len > SCRAM_USER_MAX || !str_is_utf8(name))
		return err_note(
		    ERR_UNACCEPTABLE_CREDENTIAL, "a user name has 1 to %d bytes", SCRAM_USER_MAX);
	for (size_t i = 0; i < name.len; i++) {
		if ((uint8_t)name.ptr[i] < 0x20 || name.ptr[i] == 0x7f)
			return err_note(
			    ERR_UNACCEPTABLE_CREDENTIAL, "a user name with a control character");
	}
	if (c->mechanism != SCRAM_SHA_256 && c->mechanism != SCRAM_SHA_512)
		return err_note(ERR_SASL_MECHANISM, "unknown mechanism %d", c->mechanism);
	if (c->iterations < SCRAM_ITERATIONS_MIN || c->iterations > SCRAM_ITERATIONS_MAX)
		return err_note(ERR_UNACCEPTABLE_CREDENTIAL, "%u iterations: %d to %d",
		    c->iterations, SCRAM_ITERATIONS_MIN, SCRAM_ITERATIONS_MAX);
	if (c->salt_len == 0 || c->salt_len > SCRAM_SALT_MAX)
		return err_note(ERR_UNACCEPTABLE_CREDENTIAL, "a salt of %zu bytes: 1 to %d",
		    c->salt_len, SCRAM_SALT_MAX);
	return ERR_OK;
}

enum err user_check_name(struct str name)
{
	if (str_equal(name, STR("ANONYMOUS")) || str_equal(name, STR("*")))
		return err_note(ERR_UNACCEPTABLE_CREDENTIAL,
		    "'" STR_FMT "' is nobody's name: ANONYMOUS are those who did not say who they "
		    "are, * is everybody",
		    STR_ARG(name));
	return ERR_OK;
}

void user_row_key(struct writer *w, struct str name, enum scram_mechanism mechanism)
{
	write_u8(w, USER_ROW_VERSION);
	write_u8(w, (uint8_t)mechanism);
	write_str(w, name);
}

void user_row_value(struct writer *w, const struct scram_credential *c)
{
	size_t len = scram_key_len(c->mechanism);
	write_u8(w, USER_ROW_VERSION);
	write_u32_be(w, c->iterations);
	write_u8(w, (uint8_t)c->salt_len);
	write_bytes(w, bytes_of(c->salt, c->salt_len));
	write_bytes(w, bytes_of(c->stored_key, len));
	write_bytes(w, bytes_of(c->server_key, len));
}

static enum err read_value(struct bytes value, struct scram_credential *c)
{
	struct reader r = reader_of(value);
	size_t len = scram_key_len(c->mechanism);
	if (read_u8(&r) != USER_ROW_VERSION)
		return err_note(ERR_NEWER_FORMAT, "credential of another version");
	c->iterations = read_u32_be(&r);
	c->salt_len = read_u8(&r);
	if (r.bad || c->salt_len > SCRAM_SALT_MAX || reader_left(&r) != c->salt_len + 2 * len)
		return err_note(ERR_CORRUPT, "credential of %zu bytes", value.len);
	memcpy(c->salt, read_bytes(&r, c->salt_len).ptr, c->salt_len);
	memcpy(c->stored_key, read_bytes(&r, len).ptr, len);
	memcpy(c->server_key, read_bytes(&r, len).ptr, len);
	return ERR_OK;
}

/* ---- the table in memory --------------------------------------------------------------------- */

/* The first that is not below. */
static size_t lower_bound(const struct users *u, struct str name, enum scram_mechanism mechanism)
{
	size_t low = 0, high = u->count;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		const struct user *user = u->at[mid];
		int order = bytes_compare(str_bytes(str_of(user->name)), str_bytes(name));
		if (order == 0)
			order = (int)user->credential.mechanism - (int)mechanism;
		if (order < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static bool is_at(const struct users *u, size_t i, struct str name, enum scram_mechanism mechanism)
{
	return i < u->count && str_equal(str_of(u->at[i]->name), name) &&
	       u->at[i]->credential.mechanism == mechanism;
}

const struct user *users_find(
    const struct users *u, struct str name, enum scram_mechanism mechanism)
{
	size_t i = lower_bound(u, name, mechanism);
	return is_at(u, i, name, mechanism) ? u->at[i] : NULL;
}

size_t users_first(const struct users *u, struct str name)
{
	return lower_bound(u, name, (enum scram_mechanism)0);
}

static enum err insert(
    struct users *u, size_t i, struct str name, const struct scram_credential *credential)
{
	if (u->count == u->capacity) {
		size_t capacity = u->capacity ? 2 * u->capacity : 16;
		struct user **at = mem_realloc(u->at, capacity * sizeof(struct user *));
		if (!at)
			return ERR_NOMEM;
		u->at = at;
		u->capacity = capacity;
	}
	struct user *user = mem_calloc(1, sizeof(*user) + name.len + 1);
	if (!user)
		return ERR_NOMEM;
	user->credential = *credential;
	memcpy(user->name, name.ptr, name.len);
	memmove(&u->at[i + 1], &u->at[i], (u->count - i) * sizeof(struct user *));
	u->at[i] = user;
	u->count++;
	return ERR_OK;
}

static void user_free(struct user *user)
{
	OPENSSL_cleanse(&user->credential, sizeof(user->credential));
	mem_free(user);
}

static enum err apply(
    void *ctx, int32_t partition, struct bytes key, struct bytes value, int64_t timestamp_ms)
{
	struct users *u = ctx;
	struct scram_credential c = {0};
	(void)partition;
	(void)timestamp_ms;
	if (key.len < 2 || key.ptr[0] != USER_ROW_VERSION)
		return err_note(ERR_NEWER_FORMAT, "credential of another version");
	struct str name = str_from(key.ptr + 2, key.len - 2);
	c.mechanism = (enum scram_mechanism)key.ptr[1];
	if (key.ptr[1] == SECRET_MECHANISM && value.len == sizeof(u->secret)) {
		memcpy(u->secret, value.ptr, sizeof(u->secret));
		u->has_secret = true;
		return ERR_OK;
	}
	if (value.ptr)
		TRY(read_value(value, &c));
	if (value.ptr && user_check(name, &c) != ERR_OK)
		return err_note(ERR_CORRUPT, "credential of " STR_FMT, STR_ARG(name));
	size_t i = lower_bound(u, name, c.mechanism);
	bool there = is_at(u, i, name, c.mechanism);
	if (value.ptr && !there)
		return insert(u, i, name, &c);
	if (value.ptr) {
		u->at[i]->credential = c;
	} else if (there) {
		user_free(u->at[i]);
		u->count--;
		memmove(&u->at[i], &u->at[i + 1], (u->count - i) * sizeof(struct user *));
	}
	return ERR_OK;
}

static void snapshot(void *ctx, int32_t partition,
    void (*emit)(void *emit_ctx, struct bytes key, struct bytes value), void *emit_ctx)
{
	const struct users *u = ctx;
	struct writer key, value;
	(void)partition;
	writer_init(&key, USER_ROW_MAX);
	writer_init(&value, USER_ROW_MAX);
	user_row_key(&key, STR(""), (enum scram_mechanism)SECRET_MECHANISM);
	if (u->has_secret)
		emit(emit_ctx, writer_bytes(&key), bytes_of(u->secret, sizeof(u->secret)));
	for (size_t i = 0; i < u->count; i++) {
		writer_clear(&key);
		writer_clear(&value);
		user_row_key(&key, str_of(u->at[i]->name), u->at[i]->credential.mechanism);
		user_row_value(&value, &u->at[i]->credential);
		ASSERT(key.err == ERR_OK && value.err == ERR_OK);
		emit(emit_ctx, writer_bytes(&key), writer_bytes(&value));
	}
	writer_release(&key);
	writer_release(&value);
}

/* ---- life cycle ------------------------------------------------------------------------------ */

enum err users_open(struct users *u, struct log *log)
{
	static const struct log_table_ops ops = {.apply = apply, .snapshot = snapshot};
	return log_table_open(log, USERS_TOPIC, 1, &ops, u, &u->table);
}

enum err users_make_secret(struct users *u, struct io *io)
{
	static const uint8_t key[2] = {USER_ROW_VERSION, SECRET_MECHANISM};
	if (u->has_secret)
		return ERR_OK;
	uint8_t secret[USERS_SECRET_BYTES];
	io_random(io, secret, sizeof(secret));
	struct log_row row = {bytes_of(key, sizeof(key)), bytes_of(secret, sizeof(secret))};
	TRY(log_table_put_wait(u->table, 0, &row, 1));
	ASSERT(u->has_secret);
	return ERR_OK;
}

void users_close(struct users *u)
{
	if (u->table)
		log_table_close(u->table);
	for (size_t i = 0; i < u->count; i++)
		user_free(u->at[i]);
	mem_free(u->at);
	OPENSSL_cleanse(u, sizeof(*u));
}

void users_invent(const struct users *u, struct str name, enum scram_mechanism mechanism,
    struct scram_credential *ret_credential)
{
	uint8_t made[EVP_MAX_MD_SIZE] = {0}, text[SCRAM_USER_MAX + 1];
	unsigned len = 0;
	ASSERT(name.len <= SCRAM_USER_MAX);
	text[0] = (uint8_t)mechanism; /* real users have another salt for each mechanism too */
	memcpy(text + 1, name.ptr, name.len);
	if (!HMAC(EVP_sha512(), u->secret, sizeof(u->secret), text, name.len + 1, made, &len))
		len = 0; /* a salt of zeros: no password fits all the same */
	*ret_credential = (struct scram_credential){.mechanism = mechanism,
	    .iterations = SCRAM_ITERATIONS_MIN,
	    .salt_len = SCRAM_SALT_BYTES};
	memcpy(ret_credential->salt, made, SCRAM_SALT_BYTES);
	memcpy(ret_credential->stored_key, made + SCRAM_SALT_BYTES, SCRAM_SALT_BYTES);
}
