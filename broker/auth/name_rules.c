/* SPDX-License-Identifier: Apache-2.0 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "broker/auth/name_rules.h"
#include <pcre2.h>

enum {
	RULES_MAX = 32,
	TEXT_MAX = 16 * 1024,
	PARTS_MAX = 64,
	WORK_LIMIT = 100000,
	DEPTH_LIMIT = 1000,
	HEAP_LIMIT_KIB = 1024,
	NAME_MAX_BYTES = 4096
};

/* Of a replacement: text, or a group of the match. */
struct part {
	struct str text;
	uint32_t group;
	bool is_group;
};
struct rule {
	pcre2_code *code; /* NULL: DEFAULT */
	struct part parts[PARTS_MAX];
	size_t part_count;
	char letters; /* 'L', 'U' or 0 */
};
struct name_rules {
	char *text; /* what parts point into */
	struct rule *at[RULES_MAX];
	size_t count;
};

/* ---- reading --------------------------------------------------------------------------------- */

static enum err bad(const char *why, struct str what)
{
	char quoted[200];
	return err_note(ERR_INVALID_CONFIG, "ssl.principal.mapping.rules: %s: %s", why,
	    diag_quote(quoted, sizeof(quoted), what));
}

static enum err compile(struct rule *r, struct str pattern)
{
	int code = 0;
	PCRE2_SIZE at = 0;
	char text[96] = "";
	r->code = pcre2_compile((PCRE2_SPTR)pattern.ptr, pattern.len,
	    PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C, &code, &at, NULL);
	if (r->code)
		return ERR_OK;
	pcre2_get_error_message(code, (PCRE2_UCHAR *)text, sizeof(text));
	return bad(text, pattern);
}

static enum err part_add(struct rule *r, struct part part)
{
	if (r->part_count == PARTS_MAX)
		return bad("too long a replacement", part.text);
	r->parts[r->part_count++] = part;
	return ERR_OK;
}

/* As many digits as make the number of a group that there is. */
static enum err read_group(struct rule *r, struct str s, size_t *at)
{
	uint32_t groups = 0, group = 0;
	size_t i = *at, first = i;
	if (pcre2_pattern_info(r->code, PCRE2_INFO_CAPTURECOUNT, &groups) != 0)
		return bad("groups", s);
	while (i < s.len && s.ptr[i] >= '0' && s.ptr[i] <= '9') {
		uint32_t next = group * 10 + (uint32_t)(s.ptr[i] - '0');
		if (i > first && next > groups)
			break;
		group = next;
		i++;
	}
	if (i == first)
		return bad("a $ without the number of a group", s);
	if (group > groups)
		return bad("there is no such group", s);
	*at = i;
	return part_add(r, (struct part){.group = group, .is_group = true});
}

static enum err read_replacement(struct rule *r, struct str s)
{
	size_t i = 0;
	while (i < s.len) {
		size_t from = i;
		if (s.ptr[i] == '$') {
			i++;
			TRY(read_group(r, s, &i));
			continue;
		}
		if (s.ptr[i] == '\\') {
			if (i + 1 == s.len)
				return bad("a backslash at the end", s);
			from = i + 1;
			i += 2; /* a byte of UTF-8, the rest of which follows as text */
		}
		while (i < s.len && s.ptr[i] != '$' && s.ptr[i] != '\\')
			i++;
		TRY(part_add(r, (struct part){.text = str_from(s.ptr + from, i - from)}));
	}
	return ERR_OK;
}

/* Up to a slash that no backslash stands before, and past it. */
static bool to_slash(struct str s, size_t *at, struct str *ret)
{
	size_t i = *at;
	while (i < s.len && s.ptr[i] != '/')
		i += s.ptr[i] == '\\' ? 2 : 1;
	if (i >= s.len)
		return false;
	*ret = str_from(s.ptr + *at, i - *at);
	*at = i + 1;
	return true;
}

/* "RULE:..." from s[*at]. */
static enum err read_rule(struct rule *r, struct str s, size_t *at)
{
	struct str pattern, replacement, rest = str_from(s.ptr + *at, s.len - *at);
	*at += 5;
	if (!to_slash(s, at, &pattern) || !to_slash(s, at, &replacement))
		return bad("RULE:PATTERN/REPLACEMENT/ is expected", rest);
	if (*at < s.len && (s.ptr[*at] == 'L' || s.ptr[*at] == 'U'))
		r->letters = s.ptr[(*at)++];
	TRY(compile(r, pattern));
	return read_replacement(r, replacement);
}

static bool begins(struct str s, size_t at, const char *with)
{
	size_t len = strlen(with);
	return s.len - at >= len && memcmp(s.ptr + at, with, len) == 0;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static enum err read_one(struct name_rules *all, struct str s, size_t *at)
{
	struct str rest = str_from(s.ptr + *at, s.len - *at);
	if (all->count == RULES_MAX)
		return bad("too many rules", rest);
	struct rule *r = mem_calloc(1, sizeof(*r));
	if (!r)
		return ERR_NOMEM;
	all->at[all->count++] = r;
	if (begins(s, *at, "RULE:"))
		TRY(read_rule(r, s, at));
	else if (begins(s, *at, "DEFAULT"))
		*at += 7;
	else
		return bad("DEFAULT or RULE: is expected", rest);
	while (*at < s.len && is_space(s.ptr[*at]))
		++*at;
	if (*at < s.len && s.ptr[*at] != ',' && s.ptr[*at] != '\n')
		return bad("a comma is expected after a rule", rest);
	return ERR_OK;
}

static enum err read_all(struct name_rules *all, struct str s)
{
	size_t i = 0;
	while (i < s.len) {
		if (is_space(s.ptr[i]) || s.ptr[i] == ',' || s.ptr[i] == '\n')
			i++;
		else
			TRY(read_one(all, s, &i));
	}
	return all->count > 0 ? ERR_OK : bad("there is none", s);
}

enum err name_rules_new(struct str text, struct name_rules **ret_rules)
{
	if (text.len > TEXT_MAX || !str_is_utf8(text))
		return bad("UTF-8 of at most 16 KiB is expected", str_from(text.ptr, 0));
	struct name_rules *all = mem_calloc(1, sizeof(*all));
	if (!all)
		return ERR_NOMEM;
	all->text = mem_strdup(text);
	enum err err = all->text ? read_all(all, str_of(all->text)) : ERR_NOMEM;
	if (err != ERR_OK) {
		name_rules_free(all);
		return err;
	}
	*ret_rules = all;
	return ERR_OK;
}

void name_rules_free(struct name_rules *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->count; i++) {
		pcre2_code_free(r->at[i]->code);
		mem_free(r->at[i]);
	}
	mem_free(r->text);
	mem_free(r);
}

/* ---- applying -------------------------------------------------------------------------------- */

struct matcher {
	const struct rule *rule;
	pcre2_match_context *limits;
	pcre2_match_data *data;
	struct str subject;
};

/* Against the whole subject, or anywhere from `at` on. */
static enum err try_match(struct matcher *m, size_t at, bool whole, bool *ret_matches)
{
	uint32_t options = whole ? PCRE2_ANCHORED | PCRE2_ENDANCHORED : 0;
	int rc = pcre2_match(m->rule->code, (PCRE2_SPTR)m->subject.ptr, m->subject.len, at, options,
	    m->data, m->limits);
	if (rc < 0 && rc != PCRE2_ERROR_NOMATCH)
		return err_note(ERR_UNAUTHORIZED, "a name that takes a rule too much work");
	*ret_matches = rc >= 0;
	return ERR_OK;
}

static void put_replacement(const struct matcher *m, struct writer *w)
{
	const PCRE2_SIZE *at = pcre2_get_ovector_pointer(m->data);
	for (size_t i = 0; i < m->rule->part_count; i++) {
		const struct part *p = &m->rule->parts[i];
		if (!p->is_group) {
			write_str(w, p->text);
			continue;
		}
		PCRE2_SIZE from = at[2 * (size_t)p->group], to = at[2 * (size_t)p->group + 1];
		if (from != PCRE2_UNSET && to >= from)
			write_str(w, str_from(m->subject.ptr + from, to - from));
	}
}

/* One character further. */
static size_t step(struct str s, size_t at)
{
	at++;
	while (at < s.len && ((unsigned char)s.ptr[at] & 0xc0) == 0x80)
		at++;
	return at;
}

/* Each match of the pattern is replaced, empty ones too, as Java's replaceAll does. */
static enum err replace_all(struct matcher *m, struct writer *w)
{
	const PCRE2_SIZE *match = pcre2_get_ovector_pointer(m->data);
	size_t copied = 0, at = 0;
	bool found = true;
	while (at <= m->subject.len && found) {
		TRY(try_match(m, at, false, &found));
		if (!found)
			break;
		size_t from = match[0], to = match[1];
		if (from < copied || to < from)
			return err_note(ERR_UNAUTHORIZED, "a rule that looks behind its match");
		write_str(w, str_from(m->subject.ptr + copied, from - copied));
		put_replacement(m, w);
		copied = to;
		at = to > from ? to : step(m->subject, to);
	}
	write_str(w, str_from(m->subject.ptr + copied, m->subject.len - copied));
	return w->err;
}

/* In small or capital letters, those of every script. */
static enum err change_letters(struct str name, char letters, struct writer *w)
{
	PCRE2_UCHAR out[4 * NAME_MAX_BYTES];
	PCRE2_SIZE len = sizeof(out);
	int code = 0;
	PCRE2_SIZE at = 0;
	const char *to = letters == 'L' ? "\\L$0" : "\\U$0";
	pcre2_code *all = pcre2_compile(
	    (PCRE2_SPTR) ".+", PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_DOTALL, &code, &at, NULL);
	if (!all)
		return ERR_NOMEM;
	int rc = pcre2_substitute(all, (PCRE2_SPTR)name.ptr, name.len, 0, PCRE2_SUBSTITUTE_EXTENDED,
	    NULL, NULL, (PCRE2_SPTR)to, PCRE2_ZERO_TERMINATED, out, &len);
	pcre2_code_free(all);
	if (rc < 0)
		return err_note(ERR_UNAUTHORIZED, "a name whose letters cannot be changed");
	write_bytes(w, bytes_of(out, len));
	return w->err;
}

static enum err apply(struct matcher *m, struct writer *w, bool *ret_matches)
{
	struct writer name;
	TRY(try_match(m, 0, true, ret_matches));
	if (!*ret_matches)
		return ERR_OK;
	if (!m->rule->letters)
		return replace_all(m, w);
	writer_init(&name, NAME_MAX_BYTES);
	enum err err = replace_all(m, &name);
	if (err == ERR_OK)
		err = change_letters(bytes_str(writer_bytes(&name)), m->rule->letters, w);
	writer_release(&name);
	return err;
}

static enum err apply_rule(
    const struct rule *rule, struct str subject, struct writer *w, bool *ret_matches)
{
	struct matcher m = {.rule = rule, .subject = subject};
	*ret_matches = true;
	if (!rule->code) {
		write_str(w, subject);
		return w->err;
	}
	enum err err = ERR_NOMEM;
	m.limits = pcre2_match_context_create(NULL);
	m.data = pcre2_match_data_create_from_pattern(rule->code, NULL);
	if (m.limits && m.data) {
		pcre2_set_match_limit(m.limits, WORK_LIMIT);
		pcre2_set_depth_limit(m.limits, DEPTH_LIMIT);
		pcre2_set_heap_limit(m.limits, HEAP_LIMIT_KIB);
		err = apply(&m, w, ret_matches);
	}
	pcre2_match_data_free(m.data);
	pcre2_match_context_free(m.limits);
	return err;
}

enum err name_rules_apply(const struct name_rules *r, struct str subject, struct writer *w)
{
	if (subject.len > NAME_MAX_BYTES)
		return err_note(ERR_UNAUTHORIZED, "a subject of %zu bytes", subject.len);
	for (size_t i = 0; i < r->count; i++) {
		bool matches = false;
		TRY(apply_rule(r->at[i], subject, w, &matches));
		if (matches)
			return ERR_OK;
	}
	return err_note(ERR_UNAUTHORIZED, "no rule for the name of this certificate");
}
