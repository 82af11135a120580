/* SPDX-License-Identifier: Apache-2.0 */
/* Text form of definitions, see definition.h. */
#include "processor/definition.h"
#include "log/catalog.h"
#define XXH_INLINE_ALL
#include <xxhash.h>

enum { NAME_BYTES_MAX = 255 };

static const char *const kind_magic[] = {"kappa-table/v1", "kappa-view/v1", "kappa-active/v1"};
static const char *const kind_key[] = {"table/", "view/", "active/"};

enum err definition_name_check(struct str name)
{
	if (name.len == 0 || name.len > NAME_BYTES_MAX)
		return err_note(ERR_INVALID, "a name has 1 to %d bytes", NAME_BYTES_MAX);
	for (size_t i = 0; i < name.len; i++)
		if ((unsigned char)name.ptr[i] < 0x20 || name.ptr[i] == 0x7f)
			return err_note(ERR_INVALID, "a name may not contain control characters");
	return ERR_OK;
}

/* ---- writing --------------------------------------------------------------------------------- */

static void write_hex(struct writer *w, struct bytes b)
{
	for (size_t i = 0; i < b.len; i++)
		write_printf(w, "%02x", b.ptr[i]);
}

static void write_view(struct writer *w, const struct definition *d)
{
	write_cstr(w, "logic ");
	write_hex(w, bytes_of(d->logic, sizeof(d->logic)));
	write_printf(w, "\ninput %s\n", d->from_start ? "start" : "offsets");
	for (size_t i = 0; i < d->part_count; i++) {
		const struct definition_part *p = &d->parts[i];
		char id[UUID_TEXT_BYTES];
		write_printf(w, "part %s %d %lld %lld\n", uuid_format(p->topic_id, id),
		    p->partition, (long long)p->from, (long long)p->log_start);
	}
	for (size_t i = 0; i < d->read_count; i++) {
		const struct plan_read *r = &d->reads[i];
		write_printf(w, "reads %s %d ", r->is_table ? "table" : "view", r->version);
		write_hex(w, bytes_of(r->identity, sizeof(r->identity)));
		write_u8(w, ' ');
		write_str(w, r->name);
		write_u8(w, '\n');
	}
	write_printf(w, "data %s\n", d->with_data ? "yes" : "no");
}

static void write_principal(struct writer *w, struct str principal)
{
	write_cstr(w, "principal ");
	for (size_t i = 0; i < principal.len; i++)
		write_u8(
		    w, (unsigned char)principal.ptr[i] < 0x20 ? '?' : (uint8_t)principal.ptr[i]);
	write_u8(w, '\n');
}

enum err definition_write(const struct definition *d, struct writer *key, struct writer *value)
{
	TRY(definition_name_check(d->name));
	write_cstr(key, kind_key[d->kind]);
	write_str(key, d->name);
	if (d->kind == DEFINITION_VIEW)
		write_printf(key, "/%d", d->version);
	write_printf(value, "%s\n", kind_magic[d->kind]);
	if (d->kind == DEFINITION_TABLE) {
		char id[UUID_TEXT_BYTES];
		write_printf(value, "topic %s\n", uuid_format(d->topic_id, id));
	} else if (d->kind == DEFINITION_VIEW) {
		write_view(value, d);
	} else {
		write_printf(value, "version %d\nprevious %d\nkeep_until_ms %lld\n", d->version,
		    d->previous, (long long)d->keep_until_ms);
	}
	write_principal(value, d->principal);
	write_u8(value, '\n');
	write_str(value, d->text);
	return key->err ? key->err : value->err;
}

/* ---- reading --------------------------------------------------------------------------------- */

struct lines {
	struct str text;
	size_t pos;
	int number;
};

static bool next_line(struct lines *l, struct str *ret_line)
{
	if (l->pos >= l->text.len)
		return false;
	const char *at = l->text.ptr + l->pos;
	const char *end = memchr(at, '\n', l->text.len - l->pos);
	size_t len = end ? (size_t)(end - at) : l->text.len - l->pos;
	l->pos += len + 1;
	l->number++;
	*ret_line = str_from(at, len);
	return true;
}

/* Cuts the first word off. */
static struct str next_word(struct str *rest)
{
	const char *space = rest->len > 0 ? memchr(rest->ptr, ' ', rest->len) : NULL;
	size_t len = space ? (size_t)(space - rest->ptr) : rest->len;
	struct str word = str_from(rest->ptr, len);
	size_t skip = space ? len + 1 : len;
	*rest = str_from(rest->ptr + skip, rest->len - skip);
	return word;
}

static bool read_i32(struct str s, int32_t *ret_value)
{
	int64_t v;
	if (!str_to_i64(s, &v) || v < 0 || v > INT32_MAX)
		return false;
	*ret_value = (int32_t)v;
	return true;
}

static int hex_digit(char ch)
{
	if (ch >= '0' && ch <= '9')
		return ch - '0';
	return ch >= 'a' && ch <= 'f' ? ch - 'a' + 10 : -1;
}

static bool read_hex(struct str s, uint8_t *out, size_t len)
{
	if (s.len != 2 * len)
		return false;
	for (size_t i = 0; i < len; i++) {
		int high = hex_digit(s.ptr[2 * i]), low = hex_digit(s.ptr[2 * i + 1]);
		if (high < 0 || low < 0)
			return false;
		out[i] = (uint8_t)(high * 16 + low);
	}
	return true;
}

static bool read_part(struct str rest, struct definition_part *p)
{
	return uuid_parse(next_word(&rest), &p->topic_id) &&
	       read_i32(next_word(&rest), &p->partition) &&
	       str_to_i64(next_word(&rest), &p->from) &&
	       str_to_i64(next_word(&rest), &p->log_start) && p->from >= 0 && p->log_start >= 0;
}

static bool read_read(struct str rest, struct plan_read *r)
{
	struct str kind = next_word(&rest);
	r->is_table = str_equal(kind, STR("table"));
	if (!r->is_table && !str_equal(kind, STR("view")))
		return false;
	if (!read_i32(next_word(&rest), &r->version) ||
	    !read_hex(next_word(&rest), r->identity, sizeof(r->identity)))
		return false;
	r->name = rest;
	return rest.len > 0;
}

static bool read_choice(struct str value, struct str yes, struct str no, bool *ret_yes)
{
	*ret_yes = str_equal(value, yes);
	return *ret_yes || str_equal(value, no);
}

/* One header line. Unknown words are skipped: a later version of the same format may add some. */
static bool read_line(struct definition *d, struct str line)
{
	struct str word = next_word(&line);
	if (str_equal(word, STR("principal")))
		d->principal = line;
	else if (str_equal(word, STR("topic")))
		return uuid_parse(line, &d->topic_id);
	else if (str_equal(word, STR("logic")))
		return read_hex(line, d->logic, sizeof(d->logic));
	else if (str_equal(word, STR("input")))
		return read_choice(line, STR("start"), STR("offsets"), &d->from_start);
	else if (str_equal(word, STR("data")))
		return read_choice(line, STR("yes"), STR("no"), &d->with_data);
	else if (str_equal(word, STR("part")))
		return read_part(line, &d->parts[d->part_count++]);
	else if (str_equal(word, STR("reads")))
		return read_read(line, &d->reads[d->read_count++]);
	else if (str_equal(word, STR("version")))
		return read_i32(line, &d->version);
	else if (str_equal(word, STR("previous")))
		return read_i32(line, &d->previous);
	else if (str_equal(word, STR("keep_until_ms")))
		return str_to_i64(line, &d->keep_until_ms);
	return true;
}

static enum err read_key(struct str key, struct definition *d)
{
	for (int k = DEFINITION_TABLE; k <= DEFINITION_ACTIVE; k++) {
		struct str start = str_of(kind_key[k]);
		if (key.len <= start.len || memcmp(key.ptr, start.ptr, start.len) != 0)
			continue;
		d->kind = (enum definition_kind)k;
		d->name = str_from(key.ptr + start.len, key.len - start.len);
		if (k != DEFINITION_VIEW)
			return ERR_OK;
		const char *slash = memrchr(d->name.ptr, '/', d->name.len);
		if (!slash || slash == d->name.ptr)
			break;
		size_t at = (size_t)(slash - d->name.ptr);
		struct str number = str_from(slash + 1, d->name.len - at - 1);
		d->name.len = at;
		if (read_i32(number, &d->version) && d->version > 0)
			return ERR_OK;
	}
	return err_note(ERR_CORRUPT, DEFINITION_TOPIC ": key '" STR_FMT "'", STR_ARG(key));
}

/* How many parts and reads there are at most: their lines. */
static size_t count_lines(struct str text)
{
	size_t n = 1;
	for (size_t i = 0; i < text.len; i++)
		n += text.ptr[i] == '\n';
	return n;
}

static enum err read_value(struct definition *d, struct str text, struct arena *arena)
{
	struct lines l = {text, 0, 0};
	struct str line = {0};
	if (!next_line(&l, &line) || !str_equal(line, str_of(kind_magic[d->kind]))) {
		struct str known = str_of(kind_magic[d->kind]);
		bool newer =
		    line.len > known.len - 1 && memcmp(line.ptr, known.ptr, known.len - 1) == 0;
		return err_note(newer ? ERR_NEWER_FORMAT : ERR_CORRUPT,
		    DEFINITION_TOPIC ": '" STR_FMT "' of '" STR_FMT "'", STR_ARG(line),
		    STR_ARG(d->name));
	}
	size_t header_lines = count_lines(text);
	d->parts = arena_calloc(arena, header_lines, sizeof(*d->parts));
	d->reads = arena_calloc(arena, header_lines, sizeof(*d->reads));
	if (!d->parts || !d->reads)
		return ERR_NOMEM;
	int32_t version = d->version;
	while (next_line(&l, &line) && line.len > 0)
		if (!read_line(d, line))
			return err_note(ERR_CORRUPT, DEFINITION_TOPIC ": line %d of '" STR_FMT "'",
			    l.number, STR_ARG(d->name));
	if (d->kind == DEFINITION_VIEW && d->version != version)
		return err_note(ERR_CORRUPT,
		    DEFINITION_TOPIC ": '" STR_FMT "': version differs from its key",
		    STR_ARG(d->name));
	size_t at = l.pos < text.len ? l.pos : text.len;
	d->text = str_from(text.ptr + at, text.len - at);
	return ERR_OK;
}

enum err definition_read(
    struct bytes key, struct bytes value, struct arena *arena, struct definition *ret_definition)
{
	struct definition d = {.from_start = true, .with_data = true};
	if (key.len > DEFINITION_BYTES_MAX || value.len > DEFINITION_BYTES_MAX * 16)
		return err_note(ERR_CORRUPT, DEFINITION_TOPIC ": a record of %zu bytes", value.len);
	struct str key_copy = arena_copy_str(arena, bytes_str(key));
	if (!key_copy.ptr)
		return key.len > 0
		           ? ERR_NOMEM
		           : err_note(ERR_CORRUPT, DEFINITION_TOPIC ": a record without key");
	TRY(read_key(key_copy, &d));
	d.dropped = value.ptr == NULL;
	if (!d.dropped) {
		struct str copy = arena_copy_str(arena, bytes_str(value));
		if (!copy.ptr)
			return value.len > 0
			           ? ERR_NOMEM
			           : err_note(ERR_CORRUPT, DEFINITION_TOPIC ": an empty record");
		TRY(read_value(&d, copy, arena));
	}
	*ret_definition = d;
	return ERR_OK;
}

/* ---- input ----------------------------------------------------------------------------------- */

/* A sum, so that the order of parts does not matter. A topic counts once, through its partition 0.
 */
uint64_t definition_input_hash(const struct definition_part *parts, size_t count)
{
	uint64_t hash = 0;
	for (size_t i = 0; i < count; i++) {
		const struct definition_part *p = &parts[i];
		int64_t start = p->from > p->log_start ? p->from : p->log_start;
		uint8_t line[28];
		memcpy(line, p->topic_id.b, sizeof(p->topic_id.b));
		put_u32_le(line + 16, (uint32_t)p->partition);
		put_u64_le(line + 20, (uint64_t)start);
		if (p->partition == 0)
			hash += XXH3_64bits(line, sizeof(p->topic_id.b));
		if (start > 0)
			hash += XXH3_64bits(line, sizeof(line));
	}
	return hash;
}
