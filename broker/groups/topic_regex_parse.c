/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Patterns over topic names: from text to a program, in one pass, by descent.
 *
 *   either   = sequence { "|" sequence }
 *   sequence = { atom [ "*" | "+" | "?" | "{n}" | "{n,}" | "{n,m}" [ "?" ] ] }
 *   atom     = "(" [flags] either ")" | class | escape | "." | "^" | "$" | character
 *
 * Each part is a run of instructions that leaves at its end; its jumps stay in it, so it can be
 * moved and copied (shift, copy): that is how repetitions are made.
 */
#include "topic_regex.h"
#include "topic_regex_sets.h"

struct parser {
	const uint8_t *ptr;
	size_t len, at;
	size_t count, depth;
	bool fold; /* (?i); the other flags make no difference to whole ASCII names */
	struct regex_ins ins[REGEX_OPS_MAX];
};

static enum err bad(const struct parser *p, const char *what)
{
	return err_note(ERR_INVALID_REGEX, "%s at byte %zu of the expression", what, p->at);
}

static int peek(const struct parser *p, size_t ahead)
{
	return p->at + ahead < p->len ? p->ptr[p->at + ahead] : -1;
}

static bool skip(struct parser *p, const char *text)
{
	size_t len = strlen(text);
	if (p->len - p->at < len || memcmp(p->ptr + p->at, text, len) != 0)
		return false;
	p->at += len;
	return true;
}

/* ---- instructions ---------------------------------------------------------------------------- */

static enum err room(const struct parser *p, size_t more)
{
	if (p->count + more < REGEX_OPS_MAX)
		return ERR_OK;
	return err_note(ERR_INVALID_REGEX,
	    "the expression is too much work: with its repetitions more than %d steps for a byte",
	    REGEX_OPS_MAX);
}

static enum err emit(struct parser *p, struct regex_ins ins)
{
	TRY(room(p, 1));
	p->ins[p->count++] = ins;
	return ERR_OK;
}

static void relocate(struct regex_ins *ins, size_t by)
{
	if (ins->op == REGEX_SPLIT || ins->op == REGEX_JUMP)
		ins->x = (uint16_t)(ins->x + by);
	if (ins->op == REGEX_SPLIT)
		ins->y = (uint16_t)(ins->y + by);
}

/* An instruction before all from `start` on. */
static enum err insert(struct parser *p, size_t start, struct regex_ins ins)
{
	TRY(room(p, 1));
	memmove(&p->ins[start + 1], &p->ins[start], (p->count - start) * sizeof(p->ins[0]));
	p->count++;
	for (size_t i = start + 1; i < p->count; i++)
		relocate(&p->ins[i], 1);
	p->ins[start] = ins;
	return ERR_OK;
}

/* `len` instructions from `from` on once more, at the end. */
static enum err copy(struct parser *p, size_t from, size_t len)
{
	size_t to = p->count;
	TRY(room(p, len));
	for (size_t i = 0; i < len; i++) {
		p->ins[to + i] = p->ins[from + i];
		relocate(&p->ins[to + i], to - from);
	}
	p->count += len;
	return ERR_OK;
}

static struct regex_ins split(size_t x, size_t y)
{
	return (struct regex_ins){.op = REGEX_SPLIT, .x = (uint16_t)x, .y = (uint16_t)y};
}

/* ---- sets of characters ---------------------------------------------------------------------- */

static void set_add(const struct parser *p, uint64_t set[2], uint32_t from, uint32_t to)
{
	regex_set_range(set, from, to);
	if (p->fold)
		regex_set_fold(set, from, to);
}

/* \d and its like; false: not one of them, nothing is read. */
static bool read_letter_class(struct parser *p, uint64_t set[2])
{
	uint64_t found[2] = {0, 0};
	int c = peek(p, 1);
	char small = (char)(c | 0x20);
	if (peek(p, 0) != '\\' || c < 'A' || c > 'z' || !regex_set_letter(found, small))
		return false;
	regex_set_join(set, found, c != small);
	p->at += 2;
	return true;
}

/* At \p or \P. */
static enum err read_property(struct parser *p, uint64_t set[2])
{
	uint64_t found[2] = {0, 0};
	bool negated = peek(p, 1) == 'P';
	const uint8_t *end = NULL;
	p->at += 2;
	struct str name = str_from(p->ptr + p->at, peek(p, 0) >= 0);
	if (peek(p, 0) == '{') {
		end = memchr(p->ptr + p->at, '}', p->len - p->at);
		if (!end)
			return bad(p, "a property without its end");
		name = str_from(p->ptr + p->at + 1, (size_t)(end - p->ptr) - p->at - 1);
	}
	if (end && name.len > 0 && name.ptr[0] == '^') {
		negated = !negated;
		name = str_from(name.ptr + 1, name.len - 1);
	}
	if (!regex_set_property(found, name))
		return bad(p, "a property that is neither a category of Unicode nor the script of "
		              "any topic's name (Latin, Common)");
	if (p->fold)
		regex_set_fold(found, 0, 0);
	p->at += end ? (size_t)(end - p->ptr) + 1 - p->at : 1;
	regex_set_join(set, found, negated);
	return ERR_OK;
}

/* ---- characters ------------------------------------------------------------------------------ */

/* One code point of the text, which is UTF-8. */
static uint32_t read_code(struct parser *p)
{
	uint32_t c = p->ptr[p->at++];
	unsigned more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : c >= 0xc0 ? 1 : 0;
	if (more)
		c &= 0x3fU >> more;
	while (more-- && p->at < p->len)
		c = c << 6 | (p->ptr[p->at++] & 0x3f);
	return c;
}

static int hex_digit(int c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Behind \x: two digits, or any in braces. */
static enum err read_hex(struct parser *p, uint32_t *ret_code)
{
	bool braces = skip(p, "{");
	uint32_t code = 0;
	size_t digits = 0;
	for (; hex_digit(peek(p, 0)) >= 0 && (braces || digits < 2); digits++) {
		code = code << 4 | (uint32_t)hex_digit(peek(p, 0));
		if (code > 0x10ffff)
			return bad(p, "a code point that does not exist");
		p->at++;
	}
	if (braces ? digits == 0 || !skip(p, "}") : digits != 2)
		return bad(p, "an escape of hexadecimal digits that is none");
	*ret_code = code;
	return ERR_OK;
}

static enum err read_escape(struct parser *p, uint32_t *ret_code)
{
	static const char letters[] = "afnrtv", codes[] = "\a\f\n\r\t\v";
	int c = peek(p, 1);
	const char *letter = c > 0 ? strchr(letters, c) : NULL;
	if (c == 'x') {
		p->at += 2;
		return read_hex(p, ret_code);
	}
	if (c == '0') {
		uint32_t code = 0;
		p->at += 2;
		for (int i = 0; i < 2 && peek(p, 0) >= '0' && peek(p, 0) <= '7'; i++)
			code = code << 3 | (uint32_t)(p->ptr[p->at++] - '0');
		*ret_code = code;
		return ERR_OK;
	}
	bool alphanumeric = hex_digit(c) >= 0 || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
	if (!letter && (c <= ' ' || c >= 127 || alphanumeric))
		return bad(p, "an escape that RE2 does not have");
	*ret_code = letter ? (uint32_t)codes[letter - letters] : (uint32_t)c;
	p->at += 2;
	return ERR_OK;
}

static enum err read_character(struct parser *p, uint32_t *ret_code)
{
	if (peek(p, 0) == '\\')
		return read_escape(p, ret_code);
	*ret_code = read_code(p);
	return ERR_OK;
}

/* ---- classes --------------------------------------------------------------------------------- */

/* At "[:": a class by name. */
static enum err read_named_class(struct parser *p, uint64_t set[2])
{
	uint64_t found[2] = {0, 0};
	size_t end = p->at + 2;
	while (end + 1 < p->len && !(p->ptr[end] == ':' && p->ptr[end + 1] == ']'))
		end++;
	struct str name = str_from(p->ptr + p->at + 2, end - p->at - 2);
	bool negated = name.len > 0 && name.ptr[0] == '^';
	if (negated)
		name = str_from(name.ptr + 1, name.len - 1);
	if (end + 1 >= p->len || !regex_set_class(found, name))
		return bad(p, "a class by a name that is none");
	if (p->fold)
		regex_set_fold(found, 0, 0);
	regex_set_join(set, found, negated);
	p->at = end + 2;
	return ERR_OK;
}

static enum err read_class_item(struct parser *p, uint64_t set[2])
{
	uint32_t from, to;
	if (peek(p, 0) == '[' && peek(p, 1) == ':')
		return read_named_class(p, set);
	if (read_letter_class(p, set))
		return ERR_OK;
	if (peek(p, 0) == '\\' && (peek(p, 1) | 0x20) == 'p')
		return read_property(p, set);
	TRY(read_character(p, &from));
	to = from;
	if (peek(p, 0) == '-' && peek(p, 1) >= 0 && peek(p, 1) != ']') {
		p->at++;
		TRY(read_character(p, &to));
	}
	if (to < from)
		return bad(p, "a range that ends before it begins");
	set_add(p, set, from, to);
	return ERR_OK;
}

/* At '['. */
static enum err parse_class(struct parser *p)
{
	struct regex_ins ins = {.op = REGEX_SET};
	uint64_t set[2] = {0, 0};
	p->at++;
	bool negated = skip(p, "^");
	bool first = true;
	while (first || peek(p, 0) != ']') {
		if (peek(p, 0) < 0)
			return bad(p, "a class without its ]");
		TRY(read_class_item(p, set));
		first = false;
	}
	p->at++;
	regex_set_join(ins.set, set, negated);
	return emit(p, ins);
}

/* ---- repetitions ----------------------------------------------------------------------------- */

struct repeat {
	size_t min, max; /* max SIZE_MAX = no end */
};

static bool read_number(const struct parser *p, size_t *at, size_t *ret_number)
{
	size_t from = *at, number = 0;
	for (; *at < p->len && p->ptr[*at] >= '0' && p->ptr[*at] <= '9'; ++*at)
		number = number > REGEX_REPEAT_MAX ? number : 10 * number + p->ptr[*at] - '0';
	*ret_number = number;
	return *at > from;
}

/* {n}, {n,}, {n,m}. What does not look like that is characters, as with RE2. */
static bool read_counts(struct parser *p, struct repeat *ret_repeat)
{
	size_t at = p->at + 1;
	struct repeat r;
	if (!read_number(p, &at, &r.min))
		return false;
	r.max = r.min;
	if (at < p->len && p->ptr[at] == ',') {
		at++;
		if (!read_number(p, &at, &r.max))
			r.max = SIZE_MAX;
	}
	if (at >= p->len || p->ptr[at] != '}')
		return false;
	p->at = at + 1;
	*ret_repeat = r;
	return true;
}

/* False: there is none. */
static bool read_repeat(struct parser *p, struct repeat *ret_repeat)
{
	int c = peek(p, 0);
	if (c == '{')
		return read_counts(p, ret_repeat);
	if (c != '*' && c != '+' && c != '?')
		return false;
	*ret_repeat = (struct repeat){c == '+', c == '?' ? 1 : SIZE_MAX};
	p->at++;
	return true;
}

static bool is_repeat(struct parser *p)
{
	struct repeat ignored;
	size_t at = p->at;
	bool is = read_repeat(p, &ignored);
	p->at = at;
	return is;
}

/* ---- atoms ----------------------------------------------------------------------------------- */

static enum err emit_code(struct parser *p, uint32_t code)
{
	struct regex_ins ins = {.op = REGEX_SET};
	set_add(p, ins.set, code, code);
	return emit(p, ins);
}

/* Behind \Q: all to \E is what it is. The last character is what a repetition repeats. */
static enum err parse_quoted(struct parser *p, size_t *ret_start)
{
	while (p->at < p->len && !skip(p, "\\E")) {
		*ret_start = p->count;
		TRY(emit_code(p, read_code(p)));
	}
	return p->count == *ret_start && is_repeat(p) ? bad(p, "a repetition of nothing") : ERR_OK;
}

static enum err parse_escape(struct parser *p, size_t *ret_start)
{
	static const struct {
		const char *text;
		enum regex_op op;
	} places[] = {{"\\A", REGEX_START}, {"\\z", REGEX_END}, {"\\b", REGEX_BORDER},
	    {"\\B", REGEX_NO_BORDER}};
	struct regex_ins ins = {.op = REGEX_SET};
	uint32_t code;
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		if (skip(p, places[i].text))
			return emit(p, (struct regex_ins){.op = (uint16_t)places[i].op});
	}
	if (skip(p, "\\Q"))
		return parse_quoted(p, ret_start);
	if (read_letter_class(p, ins.set))
		return emit(p, ins);
	if ((peek(p, 1) | 0x20) == 'p') {
		TRY(read_property(p, ins.set));
		return emit(p, ins);
	}
	TRY(read_escape(p, &code));
	return emit_code(p, code);
}

static enum err parse_either(struct parser *p);

/* Behind "(?": a name, or flags up to ':' or ')'. *ret_ends: flags for what follows, no group. */
static enum err parse_flags(struct parser *p, bool *ret_ends)
{
	bool on = true;
	if (skip(p, "P<")) {
		size_t from = p->at;
		for (int c; (c = peek(p, 0)) == '_' || hex_digit(c) >= 0 ||
		            ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');)
			p->at++;
		return p->at > from && skip(p, ">") ? ERR_OK
		                                    : bad(p, "a group's name that is none");
	}
	for (;; p->at++) {
		int c = peek(p, 0);
		if (c == 'i')
			p->fold = on;
		else if (c == '-' && on)
			on = false;
		else if (c != 'm' && c != 's' && c != 'U')
			break;
	}
	*ret_ends = skip(p, ")");
	return *ret_ends || skip(p, ":") ? ERR_OK : bad(p, "a group that RE2 does not have");
}

/* At '('. */
static enum err parse_group(struct parser *p, bool *ret_nothing)
{
	bool fold = p->fold;
	if (++p->depth > REGEX_DEPTH_MAX)
		return bad(p, "groups nested too deeply");
	p->at++;
	if (skip(p, "?"))
		TRY(parse_flags(p, ret_nothing));
	if (!*ret_nothing) {
		TRY(parse_either(p));
		if (!skip(p, ")"))
			return bad(p, "a group without its )");
		p->fold = fold;
	}
	p->depth--;
	return ERR_OK;
}

/* *ret_start: where what a repetition repeats begins; *ret_nothing: there is nothing to repeat. */
static enum err parse_atom(struct parser *p, size_t *ret_start, bool *ret_nothing)
{
	struct regex_ins any = {.op = REGEX_SET, .set = {UINT64_MAX, UINT64_MAX}};
	*ret_start = p->count;
	switch (peek(p, 0)) {
	case '(':
		return parse_group(p, ret_nothing);
	case '[':
		return parse_class(p);
	case '\\':
		return parse_escape(p, ret_start);
	case '.':
		p->at++;
		return emit(p, any);
	case '^':
		p->at++;
		return emit(p, (struct regex_ins){.op = REGEX_START});
	case '$':
		p->at++;
		return emit(p, (struct regex_ins){.op = REGEX_END});
	default:
		return emit_code(p, read_code(p));
	}
}

/* ---- what is repeated ------------------------------------------------------------------------ */

/* What is from `start` on, so often. */
static enum err repeat(struct parser *p, size_t start, struct repeat r)
{
	size_t len = p->count - start;
	if (r.max == 0) {
		p->count = start;
		return ERR_OK;
	}
	for (size_t i = 1; i < r.min; i++)
		TRY(copy(p, start, len));
	if (r.max == SIZE_MAX && r.min > 0)
		return emit(p, split(p->count - len, p->count + 1));
	if (r.max == SIZE_MAX) {
		TRY(insert(p, start, split(start + 1, p->count + 2)));
		return emit(p, (struct regex_ins){.op = REGEX_JUMP, .x = (uint16_t)start});
	}
	/* each of the rest may be left out, with those behind it */
	size_t end = start + r.min * len + (r.max - r.min) * (len + 1), from = start;
	size_t done = r.min;
	if (r.min == 0) {
		TRY(insert(p, start, split(start + 1, end)));
		from = start + 1;
		done = 1;
	}
	for (; done < r.max; done++) {
		TRY(emit(p, split(p->count + 1, end)));
		TRY(copy(p, from, len));
	}
	return ERR_OK;
}

static enum err parse_repeat(struct parser *p, size_t start, bool nothing)
{
	struct repeat r;
	if (!is_repeat(p))
		return ERR_OK;
	if (nothing)
		return bad(p, "a repetition of nothing");
	(void)read_repeat(p, &r);
	if (r.min > REGEX_REPEAT_MAX ||
	    (r.max != SIZE_MAX && (r.max > REGEX_REPEAT_MAX || r.max < r.min)))
		return bad(p, "a repetition that RE2 does not have");
	(void)skip(p, "?"); /* how little it takes makes no difference to the whole */
	if (is_repeat(p))
		return bad(p, "a repetition of a repetition");
	return repeat(p, start, r);
}

static enum err parse_sequence(struct parser *p)
{
	bool nothing = true;
	if (is_repeat(p))
		return bad(p, "a repetition of nothing");
	while (p->at < p->len && peek(p, 0) != '|' && peek(p, 0) != ')') {
		size_t start;
		nothing = false;
		TRY(parse_atom(p, &start, &nothing));
		TRY(parse_repeat(p, start, nothing));
	}
	return ERR_OK;
}

/* Each alternative but the last is [split here|next] ... [jump end]; until the end is known the
 * jumps are a chain from the last to the first. */
static enum err parse_either(struct parser *p)
{
	size_t start = p->count, chain = SIZE_MAX;
	bool fold = p->fold;
	TRY(parse_sequence(p));
	while (skip(p, "|")) {
		TRY(insert(p, start, split(start + 1, p->count + 2)));
		TRY(emit(p, (struct regex_ins){.op = REGEX_JUMP, .x = (uint16_t)chain}));
		chain = p->count - 1;
		start = p->count;
		TRY(parse_sequence(p));
	}
	while (chain < UINT16_MAX) {
		size_t before = p->ins[chain].x;
		p->ins[chain].x = (uint16_t)p->count;
		chain = before;
	}
	p->fold = fold;
	return ERR_OK;
}

/* ---- life ------------------------------------------------------------------------------------ */

static enum err parse(struct parser *p)
{
	TRY(parse_either(p));
	if (p->at < p->len)
		return bad(p, "a ) without its (");
	ASSERT(p->count < REGEX_OPS_MAX); /* room for the last one */
	p->ins[p->count++] = (struct regex_ins){.op = REGEX_FOUND};
	return ERR_OK;
}

enum err topic_regex_new(struct str pattern, struct topic_regex **ret_regex)
{
	if (!str_is_utf8(pattern))
		return err_note(ERR_INVALID_REGEX, "the expression is not UTF-8");
	struct parser *p = mem_calloc(1, sizeof(*p));
	if (!p)
		return ERR_NOMEM;
	p->ptr = (const uint8_t *)pattern.ptr;
	p->len = pattern.len;
	enum err e = parse(p);
	struct topic_regex *x =
	    e == ERR_OK ? mem_alloc(sizeof(*x) + p->count * sizeof(x->at[0])) : NULL;
	if (x) {
		x->count = p->count;
		memcpy(x->at, p->ins, p->count * sizeof(x->at[0]));
		*ret_regex = x;
	} else if (e == ERR_OK) {
		e = ERR_NOMEM;
	}
	mem_free(p);
	return e;
}

void topic_regex_free(struct topic_regex *x)
{
	mem_free(x);
}

size_t topic_regex_bytes(const struct topic_regex *x)
{
	return sizeof(*x) + x->count * sizeof(x->at[0]);
}
